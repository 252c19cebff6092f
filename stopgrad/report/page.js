"use strict";
// Reads the curves off under the pointer. The map of the embeddings is in map.js.
const data = JSON.parse(document.getElementById("data").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Numbers as wording.readable writes them.
function readable(value, percent) {
  if (value === null) return "not finite";
  let text;
  if (percent) text = (100 * value).toFixed(1) + " %";
  else if (Math.abs(value) >= 1000) text = Math.round(value).toLocaleString("en");
  else if (value !== 0 && Math.abs(value) < 1e-4) text = value.toExponential(3).replace(/\.?0+e/, "e");
  else text = String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−");
}

const charts = data.charts.map((chart) => {
  const figure = document.querySelector(`.chart[data-key="${chart.key}"]`);
  const outputs = all("output", figure);
  return { ...chart, svg: figure.querySelector("svg"), outputs, atRest: outputs.map((o) => o.textContent) };
});

function nearestIndex(steps, step) {
  let low = 0, high = steps.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle; else high = middle;
  }
  return step - steps[low] <= steps[high] - step ? low : high;
}

// One step, read off in every chart at once.
function showStep(step) {
  const { left, right, top, bottom } = data.frame;
  for (const { svg, x, y, log, percent, series, outputs } of charts) {
    const across = (s) => left + ((s - x[0]) / (x[1] - x[0])) * (right - left);
    const scale = log ? Math.log : Number;
    const up = (v) => bottom + ((scale(v) - scale(y[0])) / (scale(y[1]) - scale(y[0]))) * (top - bottom);
    const at = across(step);
    svg.querySelector(".cross").setAttribute("d", `M${at} ${top}V${bottom}`);
    const when = svg.querySelector(".when");
    when.textContent = `step ${step.toLocaleString("en")}`;
    when.setAttribute("x", Math.min(Math.max(at, left + 30), right - 30));
    series.forEach(({ steps, values }, i) => {
      const nearest = nearestIndex(steps, step);
      const value = values[nearest];
      outputs[i].textContent = readable(value, percent);
      const dot = all(".at", svg)[i];
      dot.style.visibility = value === null ? "hidden" : "visible";
      dot.setAttribute("cx", across(steps[nearest]));
      if (value !== null) dot.setAttribute("cy", up(value));
    });
  }
}

function rest() {
  for (const { svg, outputs, atRest } of charts) {
    svg.querySelector(".cross").setAttribute("d", "");
    svg.querySelector(".when").textContent = "";
    all(".at", svg).forEach((dot) => (dot.style.visibility = "hidden"));
    outputs.forEach((output, i) => (output.textContent = atRest[i]));
  }
}

for (const { svg, x, series } of charts) {
  const { width, left, right } = data.frame;
  let keyed = series[0].steps.length - 1;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - left) / (right - left);
    const { steps } = series[0];
    showStep(steps[nearestIndex(steps, x[0] + share * (x[1] - x[0]))]);
  });
  svg.addEventListener("pointerleave", rest);
  svg.addEventListener("blur", rest);
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    keyed = Math.min(Math.max(keyed + move, 0), series[0].steps.length - 1);
    showStep(series[0].steps[keyed]);
  });
}
