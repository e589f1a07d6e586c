// Buttons, sliders, keys, light and dark; and the start of the page.
"use strict";

const PAGE = 10; // slices

function connect() {
  byId("cases").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) showCase(Number(button.dataset.case));
  });
  byId("previous").addEventListener("click", () => showCase(state.number - 1));
  byId("next").addEventListener("click", () => showCase(state.number + 1));
  byId("channel").addEventListener("change", (event) => chooseImage(Number(event.target.value)));
  byId("preset").addEventListener("change", (event) => {
    const chosen = PRESETS[event.target.value];
    if (chosen) setWindow(...chosen);
    else if (event.target.value === "Automatic") {
      state.windows.delete(images()[state.image].title);
      applyWindow(view.volumes[0]);
      view.updateGLVolume();
    }
  });
  for (const id of ["window", "level"]) {
    byId(id).addEventListener("change", () => {
      setWindow(byId("window").valueAsNumber, byId("level").valueAsNumber);
      fillPresets();
    });
  }
  byId("layout").addEventListener("change", (event) => {
    view.setSliceType(Number(event.target.value));
    const plane = { 0: 2, 1: 1, 2: 0 }[event.target.value];
    if (plane !== undefined) choosePlane(plane);
  });
  byId("opacity").addEventListener("input", (event) => {
    event.target.nextElementSibling.textContent = `${event.target.value} %`;
    restyle();
  });
  byId("outlines").addEventListener("change", restyle);
  byId("largest").addEventListener("click", goToDifference);
  for (const box of boxes()) box.addEventListener("change", () => {
    if (box.checked) state.on.add(box.dataset.title);
    else state.on.delete(box.dataset.title);
    draw();
  });
  document.querySelectorAll("#slices input").forEach((slider) => {
    const axis = Number(slider.closest(".slider").dataset.axis);
    slider.addEventListener("focus", () => choosePlane(axis));
    slider.addEventListener("input", () => scroll(axis, Number(slider.value) - 1 - place()[axis]));
  });
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("keyup", (event) => { if (event.target === byId("view")) event.stopPropagation(); }, true);
}

function chooseImage(number) {
  state.image = number;
  byId("channel").value = number;
  fillPresets();
  draw();
}

const STEPS = {
  ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: PAGE, PageDown: -PAGE,
};
const KEYS = {
  n: () => showCase(state.number + 1),
  p: () => showCase(state.number - 1),
  a: () => choosePlane(2),
  c: () => choosePlane(1),
  s: () => choosePlane(0),
  i: () => chooseImage((state.image + 1) % images().length),
  o: () => byId("outlines").click(),
  d: goToDifference,
  "?": () => {
    byId("help").open = !byId("help").open;
    byId("help").scrollIntoView({ block: "nearest" });
  },
};

function onKey(event) {
  const { target, key } = event;
  if (target === byId("view")) event.stopPropagation(); // NiiVue has keys of its own, which nobody was told of
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("select, input[type=number]")) return;
  if (key in STEPS) {
    if (target.matches("input[type=range]") || target.closest(".scroll")) return; // these keys are theirs there
    scroll(state.axis, STEPS[key]);
  } else if (/^[1-9]$/.test(key)) {
    boxes()[Number(key) - 1]?.click();
  } else if (Object.hasOwn(KEYS, key)) {
    KEYS[key]();
  } else return;
  event.preventDefault();
}

function theme() {
  const root = document.documentElement, button = byId("theme");
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}

async function start() {
  theme();
  fillLegend("classes", data.masks);
  fillLegend("differences", data.differences.slice(0, data.masks.length > 1 ? 3 : 2));
  if (!Niivue) return problem("niivue.umd.js is missing beside this page; make viewer fetches it.");
  if (!document.createElement("canvas").getContext("webgl2")) {
    return problem("This browser has no WebGL 2, which draws the images; switch on its graphics acceleration, or take another browser.");
  }
  view = new Niivue({
    backColor: [0, 0, 0, 1], crosshairColor: [0.9, 0.9, 0.9, 0.6], crosshairWidth: 0.5, crosshairGap: 4, show3Dcrosshair: true,
    dragAndDropEnabled: false, isColorbar: false, isNearestInterpolation: true, isRadiologicalConvention: !data.flat,
    isOrientationTextVisible: !data.flat, multiplanarShowRender: SHOW_RENDER.ALWAYS, multiplanarLayout: 2,
    viewModeHotKey: "", clipPlaneHotKey: "", logLevel: "error", isAntiAlias: false,
  });
  await view.attachToCanvas(byId("view"), false);
  view.setSliceType(data.flat ? 0 : 3);
  view.onLocationChange = moved;
  view.onIntensityChange = (volume) => { // dragged with the right button
    if (volume !== view.volumes[0]) return;
    state.windows.set(images()[state.image].title, [volume.cal_max - volume.cal_min, (volume.cal_max + volume.cal_min) / 2]);
    tellWindow(volume);
    fillPresets();
  };
  byId("layout-choice").hidden = data.flat;
  byId("slices").hidden = data.flat;
  choosePlane(2);
  connect();
  // At first the run's own answer and where it is wrong: the second and the third overlay after the reference.
  const first = boxes().map((box) => box.dataset.title);
  const own = first.find((title) => first.includes(`Difference: ${title}`)) ?? first[0];
  for (const box of boxes()) {
    box.checked = [own, `Difference: ${own}`].includes(box.dataset.title);
    if (box.checked) state.on.add(box.dataset.title);
  }
  window.viewer = { view, state };
  await showCase(0);
}

start().catch((error) => problem(`The page cannot start: ${error.message}`));
