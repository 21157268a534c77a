"use strict";

// Light and dark: the reader's system decides until the button does.
function offerThemes(button) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const show = () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : dark.matches;
    button.textContent = isDark ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark ? "light" : "dark"} colours`);
    return isDark;
  };
  button.addEventListener("click", () => {
    root.dataset.theme = show() ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);
  button.hidden = false;
  show();
}

// Tables: a click on a column's head sorts, another one turns the order. Blanks stay last.
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.addEventListener("click", () => {
      const turned = { ascending: "descending", descending: "ascending" };
      const order = turned[head.getAttribute("aria-sort")] ?? button.dataset.first;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [row, row.cells[column].dataset.value]);
      rows.sort(([, a], [, b]) => {
        if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
        const [first, second] = [Number(a), Number(b)];
        const numbers = !Number.isNaN(first) && !Number.isNaN(second);
        return sign * (numbers ? first - second : a.localeCompare(b, "en", { numeric: true }));
      });
      body.append(...rows.map(([row]) => row));
    });
  });
}

// Which methods an article shows: rows of its table and of the list of methods, their figures and
// audits, and whoever listens to the event `methods`.
function offerFilter(article) {
  const bar = article.querySelector(".filter");
  if (!bar) return;
  const search = bar.querySelector("input[type=search]");
  const withoutControls = bar.querySelector(".without-controls");
  const boxes = [...bar.querySelectorAll(".choice")];
  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = new Set();
    for (const box of boxes) {
      const found = words.every((word) => box.value.toLowerCase().includes(word));
      const left = box.dataset.control && withoutControls.checked;
      if (box.checked && found && !left) shown.add(box.value);
    }
    for (const element of article.querySelectorAll("[data-method]")) {
      element.hidden = !shown.has(element.dataset.method);
    }
    bar.querySelector("output").textContent = `${shown.size} of ${boxes.length} shown`;
    article.dispatchEvent(new CustomEvent("methods", { detail: shown }));
  }
  const check = (checked) => () => {
    for (const box of boxes) box.checked = checked;
    show();
  };
  bar.querySelector(".all").addEventListener("click", check(true));
  bar.querySelector(".none").addEventListener("click", check(false));
  bar.addEventListener("input", show);
  bar.hidden = false;
  show(); // a browser may have kept what was typed before the page was loaded again
}

// Small helpers to make elements; text is set as text, never as markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function stroke(method) {
  return { stroke: method.colour, "stroke-dasharray": method.dashes || "none" };
}

function swatch(method) {
  const line = draw("line", { x1: 0, y1: 4, x2: 18, y2: 4, "stroke-width": 3, ...stroke(method) });
  const box = { class: "swatch", viewBox: "0 0 18 8", width: 18, height: 8, "aria-hidden": "true" };
  return draw("svg", box, line);
}

function told(value) {
  return value === null ? "–" : value.toFixed(3);
}

// Pixels (RGBA bytes) of a picture in a data URI.
async function pixelsOf(source, [width, height]) {
  const image = new Image();
  image.src = source;
  await image.decode();
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

function filled([red, green, blue], [width, height]) {
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < pixels.length; i += 4) pixels.set([red, green, blue, 255], i);
  return pixels;
}

// An image as the explorer needs it: pixels of the photo, of baselines, and levels of maps.
async function load(image) {
  const pixels = (source) =>
    Array.isArray(source) ? filled(source, image.size) : pixelsOf(source, image.size);
  const names = Object.keys(image.baselines);
  const [photo, ...others] = await Promise.all([
    pixels(image.photo),
    ...names.map((name) => pixels(image.baselines[name])),
    ...image.maps.map((map) => map && pixels(map)),
  ]);
  const baselines = Object.fromEntries(names.map((name, i) => [name, others[i]]));
  const maps = others.slice(names.length);
  const levels = maps.map((map) => map && map.filter((_, i) => i % 4 === 0));
  return { photo, baselines, levels };
}

// What an image looks like at a point of a curve: `first` has the point at which a level changes.
function perturbed(start, end, levels, first, point) {
  const pixels = new Uint8ClampedArray(start);
  for (let i = 0; i < levels.length; i++) {
    if (first[levels[i]] > point) continue;
    for (let channel = 0; channel < 3; channel++) pixels[4 * i + channel] = end[4 * i + channel];
  }
  return pixels;
}

// Matplotlib's inferno, to be mixed between these stops.
const SHADES = [
  [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
];

function shade(share) {
  const place = share * (SHADES.length - 1);
  const below = Math.min(Math.floor(place), SHADES.length - 2);
  return SHADES[below].map((low, i) => low + (place - below) * (SHADES[below + 1][i] - low));
}

// A map over its photo: colour is the order in which pixels change.
function mapped(photo, levels) {
  const counts = new Array(256).fill(0);
  for (const level of levels) counts[level]++;
  let before = 0;
  const colours = counts.map((count) => {
    const middle = before + count / 2;
    before += count;
    return shade(1 - middle / levels.length);
  });
  const pixels = new Uint8ClampedArray(4 * levels.length);
  levels.forEach((level, i) => {
    const grey = (photo[4 * i] + photo[4 * i + 1] + photo[4 * i + 2]) / 3;
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = 0.25 * grey + 0.75 * colours[level][c];
    pixels[4 * i + 3] = 255;
  });
  return pixels;
}

function paint(canvas, pixels, [width, height]) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

// Round numbers that divide a range into about five.
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((size) => size * power).find((size) => size >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function rangeOf(image) {
  const values = Object.values(image.curves).flat(2).filter((score) => score !== null);
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (low >= 0 && high <= 1 && high > 0.2) return [0, 1];
  const room = (high - low) * 0.05 || 1;
  return [low - room, high + room];
}

// Curves of all methods; the chosen ones in colour, with a mark at the point that is shown.
function drawChart(place, state, name) {
  const { data, image } = state;
  const chosen = new Set(state.drawn());
  const { fractions, title, pixels_are: action } = data.curves[name];
  const [width, height] = [place.clientWidth, 220];
  const [low, high] = rangeOf(image);
  const heights = ticks(low, high).map((value) => [value, `${+value.toPrecision(6)}`]);
  const longest = Math.max(...heights.map(([, text]) => text.length));
  const edge = { left: Math.max(40, 12 + 8 * longest), right: 12, top: 10, bottom: 34 };
  const x = (share) => edge.left + share * (width - edge.left - edge.right);
  const y = (score) =>
    height - edge.bottom - ((score - low) / (high - low)) * (height - edge.top - edge.bottom);
  const chart = draw("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${title} curves: ${data.score} against the share of changed pixels`,
  });
  for (const [value, text] of heights) {
    chart.append(
      draw("line", { class: "grid", x1: x(0), x2: x(1), y1: y(value), y2: y(value) }),
      draw("text", { x: edge.left - 8, y: y(value) + 4, "text-anchor": "end" }, text),
    );
  }
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = value === 1 ? "end" : "middle";
    chart.append(draw("text", { x: x(value), y: height - 18, "text-anchor": anchor }, `${value * 100} %`));
  }
  chart.append(draw("text", { x: x(0.5), y: height - 3, "text-anchor": "middle" }, `pixels ${action}`));
  const order = [...state.offered].sort((a, b) => chosen.has(a) - chosen.has(b));
  for (const number of order) {
    let pen = "M";
    const path = image.curves[name][number].map((score, point) => {
      if (score === null) pen = "M";
      const step = score === null ? "" : `${pen}${x(fractions[point]).toFixed(1)} ${y(score).toFixed(1)}`;
      if (score !== null) pen = "L";
      return step;
    });
    const look = chosen.has(number) ? { class: "chosen", ...stroke(data.methods[number]) } : { class: "other" };
    chart.append(draw("path", { d: path.join(""), ...look }));
  }
  const cursor = draw("g", { class: "cursor" });
  chart.append(cursor);
  place.replaceChildren(chart);

  place.move = () => {
    const point = state.point(name);
    const at = x(fractions[point]);
    cursor.replaceChildren(draw("line", { x1: at, x2: at, y1: edge.top, y2: height - edge.bottom }));
    for (const number of chosen) {
      const score = image.curves[name][number][point];
      if (score === null) continue;
      cursor.append(draw("circle", { cx: at, cy: y(score), r: 4, fill: data.methods[number].colour }));
    }
  };
  place.nearest = (clientX) => {
    const share = (clientX - place.getBoundingClientRect().left - x(0)) / (x(1) - x(0));
    const away = fractions.map((fraction) => Math.abs(fraction - share));
    return away.indexOf(Math.min(...away));
  };
}

function explore(section) {
  const data = JSON.parse(document.getElementById(section.dataset.of).textContent);
  const find = (selector) => section.querySelector(selector);
  const slider = find("input[type=range]");
  const play = find(".play");
  const places = Object.fromEntries(
    Object.keys(data.curves).map((name) => [name, find(`[data-curve="${CSS.escape(name)}"]`)]),
  );
  const last = (name) => data.curves[name].fractions.length - 1;
  slider.max = Math.max(...Object.keys(places).map(last));
  slider.value = Math.round(slider.max * 0.3);
  const methods = [...data.methods.keys()];
  const real = methods.filter((number) => !data.methods[number].control);
  const state = {
    data,
    image: null,
    loaded: null,
    chosen: new Set((real.length ? real : methods).slice(0, 2)),
    offered: new Set(methods),
    drawn: () => [...state.chosen].filter((number) => state.offered.has(number)).sort((a, b) => a - b),
    // Curves may have different steps: all show the same share of theirs.
    point: (name) => Math.round((slider.value / slider.max) * last(name)),
  };
  let timer = null;

  function showStep() {
    for (const [name, place] of Object.entries(places)) {
      place.querySelector(".chart").move();
      const { loaded, image } = state;
      const { first, from_image: fromImage } = data.curves[name];
      const ends = [loaded.baselines[name], loaded.photo];
      const [start, end] = fromImage ? ends.reverse() : ends;
      const point = state.point(name);
      for (const figure of place.querySelectorAll(".pictures figure")) {
        const number = Number(figure.dataset.number);
        figure.querySelector("b").textContent = told(image.curves[name][number][point]);
        const levels = loaded.levels[number];
        if (!levels) continue;
        paint(figure.querySelector("canvas"), perturbed(start, end, levels, first, point), image.size);
      }
    }
    const [firstName] = Object.keys(places);
    const share = data.curves[firstName].fractions[state.point(firstName)];
    const said = `${Math.round(100 * share)} % of the pixels`;
    find("output").textContent = said;
    slider.setAttribute("aria-valuetext", said);
  }

  function showMethods() {
    for (const [name, place] of Object.entries(places)) {
      const figures = state.drawn().map((number) => {
        const method = data.methods[number];
        const [width, height] = state.image.size;
        const alt = `${data.curves[name].title} by ${method.name} at this step`;
        const picture = state.loaded.levels[number]
          ? make("canvas", { width, height, role: "img", "aria-label": alt })
          : make("p", { class: "none" }, "map not kept");
        const caption = make("figcaption", {}, swatch(method), " ", method.name, " ", make("b"));
        return make("figure", { "data-number": number }, picture, caption);
      });
      const pictures = place.querySelector(".pictures");
      pictures.replaceChildren(...figures);
      pictures.style.setProperty("--columns", Math.max(2, Math.min(figures.length, 4)));
      drawChart(place.querySelector(".chart"), state, name);
    }
    showStep();
  }

  function card(method, number) {
    const box = make("input", { type: "checkbox", value: number });
    box.checked = state.chosen.has(number);
    box.addEventListener("change", () => {
      state.chosen[box.checked ? "add" : "delete"](number);
      showMethods();
    });
    const areas = make("span", { class: "areas" });
    const name = make("span", { class: "name", title: method.name }, swatch(method), " ", method.name);
    return make("label", {}, box, make("canvas", { "aria-hidden": "true" }), name, areas);
  }

  async function showImage(image) {
    const loaded = await load(image);
    if (state.wanted !== image) return; // another one was chosen meanwhile
    Object.assign(state, { image, loaded });
    find(".about").replaceChildren(make("b", {}, image.label), ` ${image.id}`, image.why && ` · ${image.why}`);
    paint(find(".maps .photo canvas"), loaded.photo, image.size);
    find(".maps").querySelectorAll("label").forEach((label, number) => {
      const levels = loaded.levels[number];
      label.classList.toggle("lacks", !levels);
      const canvas = label.querySelector("canvas");
      if (levels) paint(canvas, mapped(loaded.photo, levels), image.size);
      else paint(canvas, filled([128, 128, 128], image.size), image.size);
      const areas = Object.entries(data.statistics).flatMap(([name, title]) => [
        make("span", {}, title.toLowerCase()),
        make("b", {}, told(image.values[name][number])),
      ]);
      label.querySelector(".areas").replaceChildren(...areas);
    });
    showMethods();
    section.dataset.shown = image.id;
  }

  function thumb(image, number) {
    const radio = make("input", { type: "radio", name: section.dataset.of, value: number });
    radio.checked = number === 0;
    radio.addEventListener("change", () => {
      state.wanted = image;
      showImage(image);
    });
    const [width, height] = image.size;
    const picture = make("img", { src: image.photo, alt: image.label, width, height, decoding: "async" });
    return make("label", { title: image.id }, radio, picture);
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }

  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = "Pause";
    timer = setInterval(() => {
      slider.value++;
      showStep();
      if (slider.value === slider.max) stop();
    }, Math.max(60, Math.min(400, 6000 / slider.max)));
  });
  slider.addEventListener("input", () => {
    stop();
    showStep();
  });
  for (const [name, place] of Object.entries(places)) {
    const chart = place.querySelector(".chart");
    chart.addEventListener("pointermove", (event) => {
      stop();
      slider.value = Math.round((chart.nearest(event.clientX) / last(name)) * slider.max);
      showStep();
    });
  }
  const article = section.closest("article");
  article.addEventListener("methods", ({ detail: shown }) => {
    state.offered = new Set(methods.filter((number) => shown.has(data.methods[number].name)));
    find(".maps").querySelectorAll("label").forEach((label, number) => {
      label.hidden = !state.offered.has(number);
    });
    if (state.image) showMethods();
  });
  for (const link of article.querySelectorAll(".to-images")) {
    const number = data.methods.findIndex((method) => method.name === link.dataset.name);
    link.hidden = number < 0;
    link.addEventListener("click", () => {
      const box = section.querySelector(`.maps input[value="${number}"]`);
      if (!box.checked) box.click();
      setTimeout(() => box.focus({ preventScroll: true })); // after the link has led there
    });
  }
  new ResizeObserver(() => state.image && showMethods()).observe(section);

  section.hidden = false;
  const photo = make("div", { class: "photo" }, make("canvas", { "aria-hidden": "true" }), make("span", { class: "name" }, "photo"));
  find(".maps").append(photo, ...data.methods.map(card));
  find(".thumbs").append(...data.images.map(thumb));
  state.wanted = data.images[0];
  showImage(data.images[0]);
}

offerThemes(document.getElementById("theme"));
document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll(".explorer").forEach(explore);
document.querySelectorAll("article").forEach(offerFilter);
