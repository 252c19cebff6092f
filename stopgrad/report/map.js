// The map of the embeddings: dots or pictures on a canvas, with pan, zoom, a preview and a legend that picks a class out.
const sheet = document.getElementById("sheet");
const COLOURS = 10; // classes with a colour of their own; the others share a grey
const TILE = 40; // side of a picture on the map, pixels
const CELL = TILE + 6;
const MARGIN = 28;
const REACH = 14; // pixels from which the pointer catches a dot

function drawTile(context, image, x, y, side) {
  const { tile, columns, tiles } = data.map;
  const place = tiles[image];
  context.drawImage(sheet, (place % columns) * tile, Math.floor(place / columns) * tile, tile, tile, x, y, side, side);
}

class EmbeddingMap {
  constructor(root) {
    this.root = root;
    this.points = data.map.maps[Number(root.dataset.map)];
    this.canvas = root.querySelector(".view canvas");
    this.context = this.canvas.getContext("2d");
    this.zoom = 1;
    this.pan = [0, 0]; // pixels
    this.pictures = false;
    this.hovered = this.kept = -1; // points
    this.hoveredClass = this.keptClass = null;
    this.drawn = []; // [left, top, point] of the pictures on show
    const { x, y } = this.points;
    this.middle = [(Math.min(...x) + Math.max(...x)) / 2, (Math.min(...y) + Math.max(...y)) / 2];
    this.extent = [Math.max(...x) - Math.min(...x) || 1, Math.max(...y) - Math.min(...y) || 1];
    this.listenToPointer();
    this.listenToButtons();
    new ResizeObserver(() => this.layout()).observe(this.canvas);
    this.layout();
  }

  layout() {
    this.ratio = window.devicePixelRatio || 1;
    [this.width, this.height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.scale = Math.min((this.width - 2 * MARGIN) / this.extent[0], (this.height - 2 * MARGIN) / this.extent[1]);
    this.draw();
  }

  place(i) {
    return [
      this.width / 2 + this.pan[0] + (this.points.x[i] - this.middle[0]) * this.scale * this.zoom,
      this.height / 2 + this.pan[1] - (this.points.y[i] - this.middle[1]) * this.scale * this.zoom,
    ];
  }

  outside(x, y, margin) {
    return x < -margin || y < -margin || x > this.width + margin || y > this.height + margin;
  }

  dimmed(i) {
    const chosen = this.hoveredClass ?? this.keptClass;
    return chosen !== null && this.points.label[i] !== chosen;
  }

  draw() {
    const style = getComputedStyle(document.documentElement);
    const labelled = this.points.classes.length > 0;
    const colour = (label) => style.getPropertyValue(!labelled ? "--c0" : label >= 0 && label < COLOURS ? `--c${label}` : "--other");
    const colours = new Map([...new Set(this.points.label)].map((label) => [label, colour(label)]));
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, this.height);
    const behind = [], before = [];
    this.points.image.forEach((_, i) => (this.dimmed(i) ? behind : before).push(i));
    for (const i of behind) this.drawDot(i, colours, 0.12);
    for (const i of before) this.drawDot(i, colours, this.pictures ? 0.5 : 0.85);
    this.context.globalAlpha = 1;
    this.drawn = [];
    if (this.pictures) this.drawPictures(before, colours);
    this.drawRing(this.hovered >= 0 ? this.hovered : this.kept, style.getPropertyValue("--ink"));
  }

  // Every second colour is a square: the shape tells apart what colour alone might not.
  drawDot(i, colours, opacity) {
    const [x, y] = this.place(i);
    if (this.outside(x, y, 8)) return;
    const label = this.points.label[i];
    const r = (this.width < 600 ? 2 : 3) * Math.min(Math.sqrt(this.zoom), 2);
    this.context.globalAlpha = opacity;
    this.context.fillStyle = colours.get(label);
    this.context.beginPath();
    if (label % 2 === 1 && label < COLOURS) this.context.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
    else this.context.arc(x, y, r, 0, 2 * Math.PI);
    this.context.fill();
  }

  // One picture a cell of a grid that moves along: none covers another, and zooming in brings out more.
  drawPictures(points, colours) {
    const taken = new Set();
    for (const i of points) {
      const image = this.points.image[i];
      const [x, y] = this.place(i);
      const [column, row] = [Math.round((x - this.pan[0]) / CELL), Math.round((y - this.pan[1]) / CELL)];
      const cell = `${column},${row}`;
      if (data.map.tiles[image] < 0 || taken.has(cell) || this.outside(x, y, CELL)) continue;
      taken.add(cell);
      const [left, top] = [column * CELL + this.pan[0] - TILE / 2, row * CELL + this.pan[1] - TILE / 2];
      this.context.fillStyle = colours.get(this.points.label[i]);
      this.context.fillRect(left - 2, top - 2, TILE + 4, TILE + 4);
      drawTile(this.context, image, left, top, TILE);
      this.drawn.push([left, top, i]);
    }
  }

  drawRing(i, ink) {
    if (i < 0) return;
    const picture = this.drawn.find(([, , point]) => point === i);
    this.context.strokeStyle = ink;
    this.context.lineWidth = 2;
    this.context.beginPath();
    if (picture) this.context.rect(picture[0] - 3, picture[1] - 3, TILE + 6, TILE + 6);
    else this.context.arc(...this.place(i), 8, 0, 2 * Math.PI);
    this.context.stroke();
  }

  // The point under the pointer, -1 if none.
  pick(event) {
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const picture = this.drawn.find(([x, y]) => px >= x && py >= y && px < x + TILE && py < y + TILE);
    if (picture) return picture[2];
    let [best, least] = [-1, REACH * REACH];
    for (let i = 0; i < this.points.image.length; i++) {
      if (this.dimmed(i)) continue;
      const [x, y] = this.place(i);
      const distance = (x - px) ** 2 + (y - py) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  preview() {
    const i = this.hovered >= 0 ? this.hovered : this.kept;
    const image = this.points.image[i];
    const picture = this.root.querySelector(".preview canvas");
    this.root.querySelector(".placeholder").hidden = i >= 0;
    this.root.querySelector(".preview .name bdi").textContent = i < 0 ? "" : data.map.names[image];
    this.root.querySelector(".preview .label").textContent = i < 0 ? "" : this.points.classes[this.points.label[i]] ?? "";
    picture.hidden = i < 0 || data.map.tiles[image] < 0;
    if (picture.hidden) return;
    const context = picture.getContext("2d");
    context.imageSmoothingQuality = "high";
    drawTile(context, image, 0, 0, picture.width);
  }

  point(hovered, kept = this.kept) {
    if (hovered === this.hovered && kept === this.kept) return;
    [this.hovered, this.kept] = [hovered, kept];
    this.canvas.style.cursor = hovered >= 0 ? "pointer" : "";
    this.preview();
    this.draw();
  }

  // Zoom about a place of the canvas, by default its middle.
  zoomBy(factor, x = this.width / 2, y = this.height / 2) {
    const zoom = Math.min(Math.max(this.zoom * factor, 0.5), 60);
    const grown = zoom / this.zoom;
    this.pan = [(x - this.width / 2) * (1 - grown) + this.pan[0] * grown, (y - this.height / 2) * (1 - grown) + this.pan[1] * grown];
    this.zoom = zoom;
    this.draw();
  }

  reset() {
    [this.zoom, this.pan] = [1, [0, 0]];
    this.draw();
  }

  moveBy(x, y) {
    this.pan = [this.pan[0] + x, this.pan[1] + y];
    this.draw();
  }

  listenToPointer() {
    let drag = null;
    this.canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, y: event.clientY, moved: false };
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!drag) return this.point(this.pick(event));
      const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      drag = { x: event.clientX, y: event.clientY, moved: true };
      this.moveBy(dx, dy);
    });
    this.canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved) this.point(this.hovered, this.pick(event));
      drag = null;
    });
    this.canvas.addEventListener("pointercancel", () => (drag = null));
    this.canvas.addEventListener("pointerleave", () => this.point(-1));
    this.canvas.addEventListener("dblclick", (event) => this.zoomBy(2, event.offsetX, event.offsetY));
    this.canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 200), event.offsetX, event.offsetY);
    }, { passive: false });
    const keys = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40], "+": 1.4, "-": 1 / 1.4, 0: null };
    this.canvas.addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const key = keys[event.key];
      if (key === null) this.reset(); else if (Array.isArray(key)) this.moveBy(...key); else this.zoomBy(key);
    });
  }

  listenToButtons() {
    const press = (buttons, isPressed) => buttons.forEach((b) => b.setAttribute("aria-pressed", String(isPressed(b))));
    this.root.querySelector("[data-reset]").addEventListener("click", () => this.reset());
    for (const button of all("[data-zoom]", this.root)) button.addEventListener("click", () => this.zoomBy(Number(button.dataset.zoom)));
    const modes = all("[data-mode]", this.root);
    for (const button of modes) {
      button.addEventListener("click", () => {
        this.pictures = button.dataset.mode === "pictures";
        press(modes, (b) => b === button);
        this.draw();
      });
    }
    const classes = all("[data-class]", this.root);
    const hover = (index) => { this.hoveredClass = index; this.draw(); };
    for (const button of classes) {
      const index = Number(button.dataset.class);
      button.addEventListener("pointerenter", () => hover(index));
      button.addEventListener("pointerleave", () => hover(null));
      button.addEventListener("click", () => {
        this.keptClass = this.keptClass === index ? null : index;
        press(classes, (b) => Number(b.dataset.class) === this.keptClass);
        this.draw();
      });
    }
  }
}

const maps = all(".map").map((root) => new EmbeddingMap(root));
const redraw = () => maps.forEach((map) => map.draw());
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
if (sheet) sheet.decode().then(redraw);
