/** What is drawn on canvases: the pictures of the cameras, and the curves of the joints. */

/** Draws one JPEG; resolves when it is drawn, so that the next one is asked for only then. */
export async function drawPicture(canvas, jpeg) {
  const picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
  try {
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      canvas.width = picture.width;
      canvas.height = picture.height;
    }
    canvas.getContext("2d").drawImage(picture, 0, 0);
  } finally {
    picture.close();
  }
}

const WINDOW_S = 10;
/** A joint at rest is drawn as a straight line, not as magnified noise. */
const SMALLEST_SPAN = 0.05;

/** The curves of all joints, one small canvas each; only those in sight are drawn. */
export class JointCurves {
  constructor(place) {
    this.place = place;
    this.rows = new Map();
    this.inSight = new Set();
    this.watcher = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.inSight.add(target);
        else this.inSight.delete(target);
      }
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Takes curves: {names, t, predicted, commanded, measured}, one list a joint, null: unknown. */
  update(curves) {
    this.curves = curves;
    const names = curves.names.join("\n");
    if (names !== this.names) {
      this.names = names;
      this.build(curves.names);
    }
    curves.names.forEach((name, i) => this.describe(name, i));
    this.draw();
  }

  build(names) {
    this.watcher.disconnect();
    this.inSight.clear();
    this.rows.clear();
    this.place.replaceChildren(
      ...names.map((name) => {
        const figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        const title = document.createElement("span");
        const value = document.createElement("span");
        const canvas = document.createElement("canvas");
        title.textContent = name;
        value.className = "figure";
        canvas.setAttribute("role", "img");
        caption.append(title, value);
        figure.append(caption, canvas);
        this.rows.set(name, { canvas, value });
        this.watcher.observe(canvas);
        return figure;
      }),
    );
  }

  describe(name, i) {
    const { canvas, value } = this.rows.get(name);
    const measured = newest(this.curves.measured[i]);
    const commanded = newest(this.curves.commanded[i]);
    const text = measured === null ? "not measured" : number(measured);
    if (value.textContent === text) return;
    value.textContent = text;
    canvas.setAttribute(
      "aria-label",
      `${name}: measured ${measured === null ? "unknown" : number(measured)}, ` +
        `commanded ${commanded === null ? "unknown" : number(commanded)}`,
    );
  }

  /** The joint whose measured position is farthest from the commanded one now, or null. */
  largestGap() {
    let largest = null;
    this.curves.names.forEach((name, i) => {
      const [commanded, measured] = newestPair(this.curves.commanded[i], this.curves.measured[i]);
      if (commanded === null) return;
      const gap = Math.abs(commanded - measured);
      if (!largest || gap > largest.gap) largest = { name, gap };
    });
    return largest;
  }

  draw() {
    if (!this.curves) return;
    const style = getComputedStyle(this.place);
    const colours = {};
    for (const name of ["predicted", "commanded", "measured", "hair", "muted"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.curves.names.forEach((name, i) => {
      const canvas = this.rows.get(name).canvas;
      if (this.inSight.has(canvas)) this.drawJoint(canvas, i, colours);
    });
  }

  drawJoint(canvas, i, colours) {
    const { t, predicted, commanded, measured } = this.curves;
    const ratio = devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const lines = [measured[i], commanded[i], predicted[i]];
    const known = lines.flatMap((line) => line ?? []).filter((one) => one !== null);
    if (!known.length) return;
    const left = -WINDOW_S;
    const right = Math.max(0, t.at(-1) ?? 0);
    const middle = (Math.min(...known) + Math.max(...known)) / 2;
    const span = Math.max(SMALLEST_SPAN, Math.max(...known) - Math.min(...known)) * 1.15;
    const x = (time) => ((time - left) / (right - left)) * width;
    const y = (value) => height / 2 - ((value - middle) / span) * height;
    context.strokeStyle = colours.hair;
    context.lineWidth = 1;
    context.setLineDash([]);
    context.beginPath();
    for (let second = -8; second <= 0; second += 2) {
      context.moveTo(Math.round(x(second)) - 0.5, 0);
      context.lineTo(Math.round(x(second)) - 0.5, height);
    }
    context.stroke();
    stroke(context, t, lines[0], x, y, colours.measured, 4, []);
    stroke(context, t, lines[1], x, y, colours.commanded, 1.5, []);
    stroke(context, t, lines[2], x, y, colours.predicted, 1.75, [5, 4]);
  }
}

function stroke(context, t, values, x, y, colour, width, dash) {
  if (!values) return;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.lineJoin = "round";
  context.beginPath();
  let drawing = false;
  t.forEach((time, k) => {
    const value = values[k];
    if (value === null || value === undefined) {
      drawing = false;
    } else if (drawing) {
      context.lineTo(x(time), y(value));
    } else {
      context.moveTo(x(time), y(value));
      drawing = true;
    }
  });
  context.stroke();
}

function newest(values) {
  return values?.findLast((one) => one !== null) ?? null;
}

/** The newest two values that are known at the same time, or [null, null]. */
function newestPair(one, other) {
  for (let k = Math.min(one?.length ?? 0, other?.length ?? 0) - 1; k >= 0; k -= 1) {
    if (one[k] !== null && other[k] !== null) return [one[k], other[k]];
  }
  return [null, null];
}

function number(value) {
  return (value < 0 ? "\u2212" : "") + Math.abs(value).toFixed(3);
}
