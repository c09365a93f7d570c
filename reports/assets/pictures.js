"use strict";
// The pictures of units: an image with the place where a unit fired, and what the unit saw there.
const makePictures = (units, images) => {
  const LARGEST_CROP = 0.8;  // of the image's shorter side; more is nearly the whole image

  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  // where the unit is above its threshold, drawn over the picture's own place in its frame; null where it is not known
  const outline = (row, place, style) => {
    const path = units.outlines[row]?.[place];
    if (!path) return null;
    const made = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
    const drawn = made("svg"), shape = made("path");
    drawn.setAttribute("class", "outline");
    drawn.setAttribute("viewBox", "0 0 100 100");
    drawn.setAttribute("preserveAspectRatio", "none");
    shape.setAttribute("d", path);
    Object.assign(drawn.style, style);
    drawn.append(shape);
    return drawn;
  };
  // a square of the image's receptive field around the unit's maximum, enlarged
  const crop = (row, place) => {
    const frame = element("div", "picture");
    const shape = element("img", "crop");
    shape.alt = "";
    shape.addEventListener("load", () => {
      const { naturalWidth: w, naturalHeight: h } = shape, field = units.receptive_field[row] * Math.min(w, h);
      const scale = 100 / field;  // percent of the frame for a pixel of the picture
      const start = (middle, side) => Math.max(0, Math.min(side - field, middle * side - field / 2));
      const style = {
        width: `${w * scale}%`,
        height: `${h * scale}%`,
        left: `${-start(units.peaks_x[row][place], w) * scale}%`,
        top: `${-start(units.peaks_y[row][place], h) * scale}%`,
      };
      Object.assign(shape.style, style);
      const drawn = outline(row, place, style);
      if (drawn) frame.append(drawn);
    });
    shape.src = `data:image/webp;base64,${images[units.image_ids[row][place]].webp}`;
    frame.append(shape);
    return frame;
  };
  const picture = (row, place) => {
    const image = images[units.image_ids[row][place]];
    const frame = element("div", "picture");
    if (!image) return frame;
    frame.title = `${image.path}\nactivation ${units.activations[row][place]}`;
    const shape = element("img");
    shape.alt = image.path;
    shape.decoding = "async";
    frame.append(shape);
    const x = units.peaks_x[row][place], y = units.peaks_y[row][place];
    if (units.outlines[row]?.[place] || (x !== null && y !== null)) {
      shape.addEventListener("load", () => {
        // the picture is fitted into its square: outline and ring go where the picture is
        const { naturalWidth: w, naturalHeight: h } = shape, side = Math.max(w, h);
        const drawn = outline(row, place, {
          width: `${w / side * 100}%`,
          height: `${h / side * 100}%`,
          left: `${(0.5 - 0.5 * w / side) * 100}%`,
          top: `${(0.5 - 0.5 * h / side) * 100}%`,
        });
        if (drawn) return frame.append(drawn);  // within which the maximum is
        const ring = element("div", "ring");
        ring.style.left = `${(0.5 + (x - 0.5) * w / side) * 100}%`;
        ring.style.top = `${(0.5 + (y - 0.5) * h / side) * 100}%`;
        frame.append(ring);
      });
    }
    shape.src = `data:image/webp;base64,${image.webp}`;
    return frame;
  };
  const hasCrops = (row) => {
    const field = units.receptive_field[row];
    return field !== null && field < LARGEST_CROP && Boolean(images[units.image_ids[row]?.[0]]?.webp);
  };
  return { element, picture, crop, hasCrops };
};
