// What stands beside the picture: notes, channels, Dice, files, legends, messages.
"use strict";

const PRESETS = { "Soft tissue": [400, 40], Lung: [1500, -600], Bone: [2000, 400], Brain: [80, 40] };

function fillNotes() {
  byId("notes").replaceChildren(...current().notes.map((note) => element("li", note)));
  byId("notes").hidden = !current().notes.length;
}

function fillChannels() {
  byId("channel").replaceChildren(...images().map((layer, index) => {
    const option = element("option", layer.title);
    option.value = index;
    return option;
  }));
  byId("channel").value = state.image;
  fillPresets();
}

function fillPresets() {
  const layer = images()[state.image];
  const names = ["Automatic", ...(/\bCT/i.test(layer.title) ? Object.keys(PRESETS) : []), "As typed"];
  byId("preset").replaceChildren(...names.map((name) => element("option", name)));
  const own = state.windows.get(layer.title);
  const same = ([, [width, level]]) => own && own[0] === width && own[1] === level;
  byId("preset").value = own ? (Object.entries(PRESETS).find(same)?.[0] ?? "As typed") : "Automatic";
  if (!byId("preset").value) byId("preset").value = "As typed";
}

function fillDice() {
  const { classes, answers, rows } = current().dice, table = byId("dice");
  const turned = classes.length > 3; // as many columns as are read without scrolling
  const [across, down] = turned ? [answers, classes] : [classes, answers];
  const headed = (name, scope) => {
    const cell = element("th", name);
    cell.scope = scope;
    return cell;
  };
  const head = element("tr"), corner = element("td");
  head.append(corner, ...across.map((name) => headed(name, "col")));
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...down.map((name, number) => {
    const row = element("tr");
    const values = turned ? rows.map((answer) => answer[number]) : rows[number];
    row.append(headed(name, "row"), ...values.map((value) => element("td", value)));
    return row;
  }));
}

function fillPaths() {
  const lines = current().layers.filter(({ paths, kind }) => paths && kind !== "difference");
  byId("paths").hidden = !lines.length;
  byId("paths").querySelector("ul").replaceChildren(
    ...lines.map(({ title, paths }) => element("li", `${title}: ${paths.join(", ")}`)),
  );
}

function fillLegend(id, colours) {
  byId(id).replaceChildren(...colours.map(({ name, colour }) => {
    const swatch = element("span", "", "swatch"), line = element("li");
    swatch.style.backgroundColor = `rgb(${colour.join(" ")})`;
    line.append(swatch, element("span", name));
    return line;
  }));
}

const boxes = () => [...document.querySelectorAll("#overlays input")];

function markAbsent() {
  const there = new Set(overlays().map(({ title }) => title));
  for (const box of boxes()) {
    box.disabled = !there.has(box.dataset.title);
    box.closest("li").classList.toggle("absent", box.disabled);
  }
}

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

function say(text) {
  byId("readout").textContent = text;
  byId("said").textContent = text;
}
