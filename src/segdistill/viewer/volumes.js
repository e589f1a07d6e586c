// What the page knows and shares, and how a volume comes to it. These scripts are read one after the other into one scope,
// since modules are not read from a disk. All text from files goes in as text, never as HTML.
"use strict";

const { Niivue, NVImage, SHOW_RENDER } = window.niivue ?? {};
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const element = (name, text = "", className = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
};
const DRAWN = new Set(["mask", "difference"]);

// What is looked at now. `on` has the titles of overlays, so that the choice stays when the case changes.
const state = { number: -1, image: 0, axis: 2, on: new Set(), windows: new Map(), loaded: new Map(), shown: [], asked: 0 };
let view;

const packs = new Map(); // in a static folder, volumes are scripts: a browser reads those from a disk, too
window.viewerVolume = (name, content) => packs.get(name)?.(content);

function unpacked(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    packs.set(name, (content) => {
      packs.delete(name);
      script.remove();
      resolve(Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)).buffer);
    });
    script.onerror = () => reject(new Error("it is not in the folder of this page"));
    script.src = name;
    document.head.append(script);
  });
}

async function fetched(name) {
  const response = await fetch(name).catch(() => { throw new Error("segdistill view no longer runs"); });
  if (!response.ok) throw new Error(await response.text());
  return response.arrayBuffer();
}

async function volumeOf(layer) {
  if (!state.loaded.has(layer.file)) {
    const loading = (async () => {
      const buffer = await (data.packed ? unpacked : fetched)(layer.file);
      const volume = await NVImage.loadFromUrl({ url: "volume.nii.gz", name: `${layer.title}.nii.gz`, buffer, colormap: "gray" });
      const colours = layer.kind === "mask" ? data.masks : data.differences;
      if (DRAWN.has(layer.kind)) volume.setColormapLabel(labels(colours));
      return volume;
    })();
    state.loaded.set(layer.file, loading);
    loading.catch(() => state.loaded.delete(layer.file));
  }
  return state.loaded.get(layer.file);
}

function labels(colours) {
  const channel = (number) => [0, ...colours.map(({ colour }) => colour[number])];
  return {
    R: channel(0), G: channel(1), B: channel(2), A: [0, ...colours.map(() => 255)],
    I: [0, ...colours.map((_, number) => number + 1)], labels: ["", ...colours.map(({ name }) => name)],
  };
}
