// A map of many points on a canvas. Pixels are written into one image: 50,000 points take a few milliseconds, without
// WebGL and without a library. A grid of 256 x 256 cells finds the point below the pointer.

const SIDE = 65536; // coordinates are 0 to 65535

function gridOf(x, y) {
  const cell = (i) => ((y[i] >> 8) << 8) | (x[i] >> 8);
  const start = new Uint32Array(SIDE + 1);
  for (let i = 0; i < x.length; i++) start[cell(i) + 1] += 1;
  for (let c = 0; c < SIDE; c++) start[c + 1] += start[c];
  const next = start.slice(0, SIDE);
  const order = new Uint32Array(x.length);
  for (let i = 0; i < x.length; i++) order[next[cell(i)]++] = i;
  return { start, order };
}

// colours: Uint32Array, a pixel's bytes RGBA as the machine orders them; large: Uint8Array, 1 for points drawn larger and last.
// onHover(point or -1, event), onPick(point) are called with the index of a point.
function createMap(canvas, x, y, onHover, onPick) {
  const grid = gridOf(x, y);
  const context = canvas.getContext("2d");
  const width = x.reduce((a, b) => Math.max(a, b), 0);
  const height = y.reduce((a, b) => Math.max(a, b), 0);
  let colours = new Uint32Array(x.length);
  let large = new Uint8Array(x.length);
  let image = null;
  let pixels = null;
  let scale = 1; // screen pixels (of the device) per step
  let left = 0; // of the map's zero, in screen pixels
  let bottom = 0;
  let waiting = false;

  const density = () => window.devicePixelRatio || 1;
  const whole = () => Math.min((canvas.width * 0.96) / Math.max(width, 1), (canvas.height * 0.94) / Math.max(height, 1));

  function show(x0, x1, y0, y1) {
    scale = Math.min((canvas.width * 0.96) / Math.max(x1 - x0, 1), (canvas.height * 0.94) / Math.max(y1 - y0, 1));
    scale = Math.min(scale, whole() * 400);
    left = canvas.width / 2 - ((x0 + x1) / 2) * scale;
    bottom = canvas.height / 2 + ((y0 + y1) / 2) * scale;
    draw();
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    const [w, h] = [Math.round(box.width * density()), Math.round(box.height * density())];
    if (!w || !h || (w === canvas.width && h === canvas.height && image)) return;
    canvas.width = w;
    canvas.height = h;
    image = context.createImageData(w, h);
    pixels = new Uint32Array(image.data.buffer);
    show(0, width, 0, height);
  }

  function square(i, size) {
    const px = Math.round(left + x[i] * scale - size / 2);
    const py = Math.round(bottom - y[i] * scale - size / 2);
    if (px + size <= 0 || py + size <= 0 || px >= canvas.width || py >= canvas.height) return;
    const [from, to] = [Math.max(px, 0), Math.min(px + size, canvas.width)];
    for (let row = Math.max(py, 0); row < Math.min(py + size, canvas.height); row++) {
      pixels.fill(colours[i], row * canvas.width + from, row * canvas.width + to);
    }
  }

  function paint() {
    waiting = false;
    if (!image) return;
    pixels.fill(0);
    const zoom = Math.min(2, Math.log2(scale / whole() + 1));
    const size = Math.max(1, Math.round(density() * ((x.length > 20000 ? 1.4 : 2.2) + zoom)));
    for (let i = 0; i < x.length; i++) if (!large[i]) square(i, size);
    for (let i = 0; i < x.length; i++) if (large[i]) square(i, size + Math.round(2 * density()));
    context.putImageData(image, 0, 0);
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(paint);
  }

  function zoomBy(factor, px = canvas.width / 2, py = canvas.height / 2) {
    const to = Math.min(Math.max(scale * factor, whole() / 2), whole() * 400);
    left = px - ((px - left) / scale) * to;
    bottom = py - ((py - bottom) / scale) * to;
    scale = to;
    draw();
  }

  function pointAt(event) {
    const box = canvas.getBoundingClientRect();
    const mapX = ((event.clientX - box.left) * density() - left) / scale;
    const mapY = (bottom - (event.clientY - box.top) * density()) / scale;
    const reach = (8 * density()) / scale;
    const cells = (value) => Math.min(255, Math.max(0, value >> 8));
    let best = -1;
    let least = reach * reach;
    for (let row = cells(mapY - reach); row <= cells(mapY + reach); row++) {
      for (let column = cells(mapX - reach); column <= cells(mapX + reach); column++) {
        const c = (row << 8) | column;
        for (let at = grid.start[c]; at < grid.start[c + 1]; at++) {
          const i = grid.order[at];
          const distance = (x[i] - mapX) ** 2 + (y[i] - mapY) ** 2;
          if (distance < least || (distance === least && large[i])) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }

  let held = null; // where the pointer went down
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, left, bottom, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return onHover(pointAt(event), event);
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    held.moved = held.moved || Math.hypot(dx, dy) > 4;
    if (!held.moved) return undefined;
    left = held.left + dx * density();
    bottom = held.bottom + dy * density();
    onHover(-1, event);
    return draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    const point = held && !held.moved ? pointAt(event) : -1;
    held = null;
    onHover(point, event);
    if (point >= 0) onPick(point);
  });
  canvas.addEventListener("pointercancel", () => { held = null; });
  canvas.addEventListener("pointerleave", (event) => onHover(-1, event));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const at = [(event.clientX - box.left) * density(), (event.clientY - box.top) * density()];
    zoomBy(Math.exp(-event.deltaY / 400), ...at);
  }, { passive: false });
  new ResizeObserver(resize).observe(canvas);
  resize();

  return {
    set(newColours, newLarge) {
      colours = newColours;
      large = newLarge;
      draw();
    },
    zoomBy,
    showAll: () => show(0, width, 0, height),
    showPoints(points) {
      if (!points.length) return;
      let [x0, x1, y0, y1] = [SIDE, 0, SIDE, 0];
      for (const i of points) {
        x0 = Math.min(x0, x[i]); x1 = Math.max(x1, x[i]);
        y0 = Math.min(y0, y[i]); y1 = Math.max(y1, y[i]);
      }
      show(x0, x1, y0, y1);
    },
  };
}
