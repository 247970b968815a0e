"use strict";
// Heat: packed maps of image tokens laid over the image, in cividis or, for differences, in grey.
const CIVIDIS = ["00224e", "123570", "3b496c", "575d6d", "707173", "8a8678", "a59c74", "c3b369", "e1cc55", "fee838"].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
const KINDS = ["image", "prompt", "generated", "first", "sinks"];
const WHOLE = 65534, NONE = 65535, MAP_SIDE = 384;

function cividis(part) {
  const place = Math.min(1, Math.max(0, part)) * (CIVIDIS.length - 1), low = Math.min(CIVIDIS.length - 2, Math.floor(place));
  return CIVIDIS[low].map((value, i) => value + (place - low) * (CIVIDIS[low + 1][i] - value));
}

// A view's arrays: heat [words, layers, heads, tokens], shares likewise with kinds, sinks [layers, tokens].
function opened(view) {
  const bytes = (text) => fromBase64(text);
  const tokens = (view.boxes || []).length, peaks = bytes(view.peaks), shares = bytes(view.shares);
  return { ...view, tokens, heat: bytes(view.heat), sinks: bytes(view.sinks),
    peaks: new Float32Array(peaks.buffer.slice(peaks.byteOffset, peaks.byteOffset + peaks.length)),
    shares: new Uint16Array(shares.buffer.slice(shares.byteOffset, shares.byteOffset + shares.length)) };
}

// The maps that a choice of layer and head averages; those of layers out of reach are none.
function mapsOf(view, word, layer, head) {
  const found = [];
  for (let l = 0; l < view.layers; l++) for (let h = 0; h < view.heads; h++) {
    if ((layer !== null && view.layers > 1 && l !== layer) || (head !== null && view.heads > 1 && h !== head)) continue;
    const map = (word * view.layers + l) * view.heads + h;
    if (view.shares[map * KINDS.length] !== NONE) found.push(map);
  }
  return found;
}

function weightsOf(view, maps) {
  const sum = new Float64Array(view.tokens);
  for (const map of maps) for (let i = 0; i < view.tokens; i++) sum[i] += view.heat[map * view.tokens + i] / 255 * view.peaks[map] / maps.length;
  return sum;
}

function sharesOf(view, maps) {
  return KINDS.map((_, k) => maps.length ? maps.reduce((sum, map) => sum + view.shares[map * KINDS.length + k] / WHOLE / maps.length, 0) : null);
}

// Density of attention: 1 where all of a row's attention would lie evenly over the image; NaN where no token stands.
function density(view, weights, [width, height]) {
  const scale = MAP_SIDE / Math.max(width, height);
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const sum = new Float64Array(w * h), count = new Uint16Array(w * h);
  const span = (low, high, whole, pixels) => [Math.max(0, Math.ceil(low * pixels / whole - 0.5)), Math.min(pixels, Math.ceil(high * pixels / whole - 0.5))];
  view.boxes.forEach((box, i) => {
    if (!box) return;
    const area = (box[2] - box[0]) * (box[3] - box[1]) / (width * height);
    if (!(area > 0)) return;
    const [left, right] = span(box[0], box[2], width, w), [top, bottom] = span(box[1], box[3], height, h);
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) { sum[y * w + x] += weights[i] / area; count[y * w + x] += 1; }
  });
  for (let i = 0; i < sum.length; i++) sum[i] = count[i] ? sum[i] / count[i] : NaN;
  return { w, h, values: sum };
}

const most = (map) => map.values.reduce((high, value) => value > high ? value : high, 0);

// Draws a map; where there is a picture, a quarter of each pixel is the picture in grey.
function paint(canvas, map, colour, picture) {
  canvas.width = map.w; canvas.height = map.h;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (picture) context.drawImage(picture, 0, 0, map.w, map.h);
  const pixels = context.getImageData(0, 0, map.w, map.h), part = picture ? 0.7 : 1;
  for (let i = 0; i < map.values.length; i++) {
    const at = 4 * i, grey = 0.3 * pixels.data[at] + 0.59 * pixels.data[at + 1] + 0.11 * pixels.data[at + 2];
    const known = map.values[i] === map.values[i], rgb = known ? colour(map.values[i]) : [255, 255, 255];
    for (let c = 0; c < 3; c++) pixels.data[at + c] = known && picture ? part * rgb[c] + (1 - part) * grey : rgb[c];
    pixels.data[at + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

// Outlines tokens that are sinks in the chosen layer, or in most layers, white around black.
function outline(canvas, view, layers, [width, height], layer) {
  const context = canvas.getContext("2d"), n = view.sinks.length / (view.tokens || 1);
  for (let i = 0; i < view.tokens; i++) {
    let marked = 0;
    for (let l = 0; l < n; l++) marked += view.sinks[l * view.tokens + i] && (layer === null || l === layer) ? 1 : 0;
    const box = view.boxes[i];
    if (!box || marked < (layer === null ? n / 2 : 1)) continue;
    const [x, y] = [box[0] * canvas.width / width, box[1] * canvas.height / height];
    const size = [(box[2] - box[0]) * canvas.width / width, (box[3] - box[1]) * canvas.height / height];
    for (const [colour, wide] of [["#ffffff", 4], ["#000000", 1.5]]) {
      context.strokeStyle = colour; context.lineWidth = wide;
      context.strokeRect(x + 2, y + 2, Math.max(1, size[0] - 4), Math.max(1, size[1] - 4));
    }
  }
}
