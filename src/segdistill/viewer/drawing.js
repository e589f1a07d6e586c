// A case drawn by NiiVue: which volumes, how they look, and which slices.
"use strict";

const PLANES = ["sagittal", "coronal", "axial"];

const current = () => data.cases[state.number];
const images = () => current().layers.filter((layer) => !DRAWN.has(layer.kind));
const overlays = () => current().layers.filter((layer) => DRAWN.has(layer.kind));

async function showCase(number) {
  if (!data.cases[number]) return;
  state.number = number;
  state.loaded.clear();
  state.image = Math.min(state.image, images().length - 1);
  byId("case-title").textContent = current().id;
  byId("view").setAttribute("aria-label", `Slices of case ${current().id}`);
  document.querySelectorAll("#cases button").forEach((button, index) => {
    if (index === number) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (index === number) button.scrollIntoView({ block: "nearest" });
  });
  byId("previous").disabled = number === 0;
  byId("next").disabled = number === data.cases.length - 1;
  fillNotes();
  fillChannels();
  fillDice();
  fillPaths();
  markAbsent();
  await draw(true);
}

async function draw(fresh = false) {
  const asked = ++state.asked;
  problem("");
  try {
    const shown = overlays().filter((layer) => state.on.has(layer.title));
    document.body.dataset.ready = "no";
    byId("readout").textContent = "Loading ...";
    const volumes = await Promise.all([images()[state.image], ...shown].map(volumeOf));
    if (asked !== state.asked) return; // something else was asked for meanwhile
    applyWindow(volumes[0]);
    volumes[0].opacity = 1;
    state.shown = shown;
    style(volumes);
    const before = fresh ? null : [...view.scene.crosshairPos];
    view.volumes = volumes;
    view.setVolume(volumes[0], 0); // which tells NiiVue that it is the one below the others
    if (before) view.scene.crosshairPos = before;
    else await goToMarked();
    view.drawScene();
    moved();
    document.body.dataset.ready = `${state.number}`;
  } catch (error) {
    if (asked !== state.asked) return;
    problem(`${current().id} cannot be shown: ${error.message}`);
    document.body.dataset.ready = "failed";
  }
}

const LABELS = 1002; // NIFTI_INTENT_LABEL: NiiVue draws outlines of such volumes
const HARDLY = 0.01; // nothing to be seen, but drawn: what is quite transparent NiiVue leaves out, outlines too

// Opacity and outlines of the overlays. Differences are drawn over masks and cover them more than those cover the
// image, so that colours stay what they are in the legend.
function style(volumes) {
  const outlines = byId("outlines").checked, clear = 1 - Number(byId("opacity").value) / 100;
  view.opts.atlasOutline = outlines ? 1 : 0;
  state.shown.forEach((layer, index) => {
    const volume = volumes[index + 1];
    volume.hdr.intent_code = outlines ? LABELS : 0;
    volume.opacity = outlines ? HARDLY : Math.max(1 - (layer.kind === "difference" ? clear ** 2 : clear), HARDLY);
  });
}

function restyle() {
  style(view.volumes);
  view.updateGLVolume();
}

// To the slice in which a mask has most voxels, to that nearest to their middle; false where it has none.
function goToLargest(volume) {
  const [columns, rows, depth] = volume.hdr.dims.slice(1, 4);
  const plane = columns * rows;
  let most = 0, best = null;
  for (let z = 0; z < depth; z++) {
    let count = 0, x = 0, y = 0;
    for (let i = 0; i < plane; i++) {
      if (volume.img[z * plane + i]) { count++; x += i % columns; y += Math.floor(i / columns); }
    }
    if (count > most) { most = count; best = [x / count, y / count, z]; }
  }
  if (!best) return false;
  let least = Infinity;
  const [middle, height, z] = best;
  for (let i = 0; i < plane; i++) {
    const x = i % columns, y = Math.floor(i / columns), far = (x - middle) ** 2 + (y - height) ** 2;
    if (volume.img[z * plane + i] && far < least) { least = far; best = [x, y, z]; }
  }
  const place = volume.hdr.affine.slice(0, 3).map((row) => row[0] * best[0] + row[1] * best[1] + row[2] * best[2] + row[3]);
  view.scene.crosshairPos = view.mm2frac(place);
  return true;
}

async function goToMarked() {
  for (const layer of overlays()) if (goToLargest(await volumeOf(layer))) return;
  view.scene.crosshairPos = [0.5, 0.5, 0.5];
}

async function goToDifference() {
  const differences = overlays().filter((layer) => layer.kind === "difference");
  const layer = differences.find(({ title }) => state.on.has(title)) ?? differences[0];
  if (!layer) return say("This case has no reference to differ from.");
  try {
    if (!goToLargest(await volumeOf(layer))) return say("No voxel differs from the reference.");
  } catch (error) { return problem(error.message); }
  view.drawScene();
  moved();
}

// --- slices

const sizes = () => view.volumes[0].dimsRAS.slice(1, 4);
const place = () => view.frac2vox(view.scene.crosshairPos).map(Math.round);

function scroll(axis, steps) {
  if (!view.volumes.length) return;
  const step = [0, 0, 0];
  step[axis] = steps;
  view.moveCrosshairInVox(...step);
  moved();
}

function choosePlane(axis) {
  state.axis = axis;
  document.querySelectorAll("#slices .slider").forEach((slider) => {
    slider.classList.toggle("active", Number(slider.dataset.axis) === axis);
  });
}

let later;
function moved() {
  if (!view.volumes.length) return;
  const voxel = place();
  sizes().forEach((size, axis) => {
    const slider = byId(`slice-${axis}`);
    slider.max = size;
    slider.value = voxel[axis] + 1;
    slider.disabled = size < 2;
    slider.nextElementSibling.textContent = `${voxel[axis] + 1} of ${size}`;
  });
  const told = values(voxel);
  byId("readout").textContent = told;
  clearTimeout(later);
  later = setTimeout(() => {
    byId("said").textContent = `${current().id}, ${PLANES[state.axis]} slice ${voxel[state.axis] + 1} of ${sizes()[state.axis]}. ${told}`;
  }, 500);
}

function values(voxel) {
  const millimetres = view.vox2mm(voxel, view.volumes[0].matRAS);
  return view.volumes.map((volume) => {
    const [x, y, z] = volume.mm2vox(millimetres);
    const value = volume.getValue(x, y, z);
    const name = volume.name.replace(/\.nii\.gz$/, "");
    if (volume.colormapLabel) return value ? `${name}: ${volume.colormapLabel.labels[value] ?? value}` : "";
    return images()[state.image].kind === "colours" ? "" : `${name}: ${Number(value.toFixed(3))}`;
  }).filter(Boolean).join("; ");
}

// --- window

function applyWindow(volume) {
  const layer = images()[state.image];
  const colours = layer.kind === "colours";
  for (const id of ["window", "level", "preset"]) byId(id).disabled = colours;
  if (colours) return;
  const [width, level] = state.windows.get(layer.title) ?? automatic(volume);
  volume.cal_min = level - width / 2;
  volume.cal_max = level + width / 2;
  tellWindow(volume);
}

function automatic(volume) {
  const [low, high] = [volume.robust_min, volume.robust_max];
  return high > low ? [high - low, (high + low) / 2] : [Math.max(volume.global_max - volume.global_min, 1), (volume.global_max + volume.global_min) / 2];
}

function tellWindow(volume) {
  byId("window").value = Number((volume.cal_max - volume.cal_min).toPrecision(5));
  byId("level").value = Number(((volume.cal_max + volume.cal_min) / 2).toPrecision(5));
}

function setWindow(width, level) {
  if (!(width > 0) || !Number.isFinite(level) || !view.volumes.length) return;
  state.windows.set(images()[state.image].title, [width, level]);
  applyWindow(view.volumes[0]);
  view.updateGLVolume();
}
