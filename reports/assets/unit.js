"use strict";
// The page of one unit, a dialog over the report. `report` is what page.js lends it.
const makeUnitPage = (report) => {
  const { units, images, details, element, link } = report;
  const byId = (id) => document.getElementById(id);
  const dialog = byId("unit-page");
  const count = (number) => number.toLocaleString("en");
  const word = (number) => number === null ? "no label" : details.words[number];
  let shown = null;

  const section = (title, note, ...parts) => {
    const made = element("section");
    made.append(element("h3", "", title));
    if (note) made.append(element("p", "note", note));
    made.append(...parts);
    return made;
  };
  const table = (heads, rows) => {
    const made = element("table"), head = element("tr"), scroll = element("div", "scroll");
    head.append(...heads.map((text) => element("th", "", text)));
    made.append(element("thead"), element("tbody"));
    made.tHead.append(head);
    for (const cells of rows) {
      const row = element("tr");
      for (const cell of cells) {
        const filled = element("td", /^-?[\d.]+$/.test(cell) ? "number" : "");
        filled.append(cell);
        row.append(filled);
      }
      made.tBodies[0].append(row);
    }
    scroll.append(made);
    return scroll;
  };
  const numbered = (value) => value === null ? "" : value.toFixed(2);

  // --- images ---------------------------------------------------------------------------------------------------
  const captioned = (frame, ...lines) => {
    const made = element("figure"), caption = element("figcaption");
    lines.forEach((line, place) => caption.append(...place ? [element("br"), line] : [line]));
    made.append(frame, caption);
    return made;
  };
  const top = (row) => {
    const ids = units.image_ids[row] ?? [];
    if (!ids.length) return null;
    const tiles = element("div", "tops");
    ids.forEach((id, place) => {
      const frame = report.picture(row, place), parts = [frame];
      if (report.hasCrops(row)) parts.push(report.crop(row, place));
      const path = element("bdi", "path", images[id]?.path ?? "");
      path.title = path.textContent;
      const made = captioned(parts[0], String(units.activations[row][place]), path);
      if (parts[1]) made.insertBefore(parts[1], made.lastChild);
      tiles.append(made);
    });
    const marked = units.outlines[row] ? "Outlined is where the unit is above its threshold."
      : units.peaks_x[row]?.[0] != null ? "The ring is where the unit fires most." : "";
    const cropped = report.hasCrops(row) ? " Below each is what the unit saw there: its receptive field." : "";
    return section("Top images", marked + cropped, tiles);
  };
  const plainPicture = (id, activation) => {
    const frame = element("div", "picture"), shape = element("img");
    shape.alt = images[id].path;
    shape.src = `data:image/webp;base64,${images[id].webp}`;
    frame.title = `${images[id].path}\nactivation ${activation}`;
    frame.append(shape);
    return captioned(frame, String(activation));
  };
  const bands = (row) => {
    const known = details.bands[row];
    if (!known?.some(([, , , , ids]) => ids.length)) return null;
    const last = known[known.length - 1][1], made = element("div", "bands");
    for (const [first, end, highest, lowest, ids, activations] of known) {
      const band = element("div", "band"), title = element("h4", "", `Rank ${count(first)} to ${count(end)}`);
      title.append(element("span", "note", `activation ${highest} to ${lowest}`));
      const pictures = element("div", "pictures");
      pictures.append(...ids.map((id, place) => plainPicture(id, activations[place])));
      band.append(title, ids.length ? pictures : element("p", "note", "None of its images is in this report."));
      made.append(band);
    }
    return section("Below the top", `A label that fits the top images may not fit the rest. Of ${count(last)} images each `
      + "band reaches as many times further down the ranks as the one before; shown are some that are in this report as "
      + "the top images of any unit.", made);
  };

  // --- charts ---------------------------------------------------------------------------------------------------
  const short = (value) => String(Number(value.toPrecision(3)));
  const histogram = (row) => {
    if (!details.histograms[row]) return null;
    const [lowest, highest, bars] = details.histograms[row];
    const most = Math.max(10, ...bars), step = (highest - lowest) / bars.length;
    // a bar of one image is seen, and one of none is not
    const height = (images) => `${100 * Math.log(images + 1) / Math.log(most + 1)}%`;
    const made = element("div", "histogram"), plot = element("div", "plotted"), ends = element("div", "ends");
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", "Histogram of the unit's activations");
    for (let tick = 1; tick <= most; tick *= 10) {
      const line = element("div", "tick", count(tick));
      line.style.bottom = height(tick);
      plot.append(line);
    }
    bars.forEach((images, place) => {
      const bar = element("i"), from = lowest + place * step;
      bar.style.setProperty("--height", height(images));
      bar.title = `${short(from)} to ${short(from + step)}: ${count(images)} images`;
      plot.append(bar);
    });
    ends.append(...[0, 0.25, 0.5, 0.75, 1].map((part) => element("span", "", short(lowest + part * (highest - lowest)))));
    made.append(plot, ends);
    return section("How it fires", "How many images have which activation. The heights are logarithms, for most units "
      + "fire rarely.", made);
  };
  const preferred = (row) => {
    const known = details.preferred[row];
    if (!known) return null;
    const lows = known.map(([, , mean, half]) => mean - half), highs = known.map(([, , mean, half]) => mean + half);
    const low = Math.min(...lows), high = Math.max(...highs), span = high - low || 1;
    const made = element("div", "spans");
    known.forEach(([label, images, mean, half], place) => {
      const name = element("span", "name"), track = element("span", "track"), reach = element("i"), dot = element("b");
      name.append(element("bdi", "", word(label)), ` (${count(images)})`);
      name.title = name.textContent;
      reach.style.left = `${100 * (lows[place] - low) / span}%`;
      reach.style.width = `${100 * (highs[place] - lows[place]) / span}%`;
      dot.style.left = `${100 * (mean - low) / span}%`;
      track.title = `mean ${mean}, 95 % interval ${short(lows[place])} to ${short(highs[place])}`;
      track.append(reach, dot);
      made.append(name, track, element("span", "number", `${mean} ± ${half}`));
    });
    return section("Labels of images that it prefers", "The images' own labels with the highest mean activation, with its "
      + "95\u00a0% interval; in parentheses how many images have them.", made);
  };

  // --- words ----------------------------------------------------------------------------------------------------
  const concepts = (row) => {
    if (!details.concepts[row]) return null;
    const rows = details.concepts[row].map(([concept, score]) => [element("bdi", "", word(concept)), String(score)]);
    return section("Best concepts", "", table(["Concept", units.is_by_masks[row] ? "IoU" : "Similarity"], rows));
  };
  const others = (row) => {
    if (!details.others[row]) return null;
    const named = ([setting, label, , , , holds]) => {
      const made = element("div"), [method, concepts] = details.settings[setting];
      made.append(element("bdi", "", word(label)));
      if (holds === false) made.append(element("span", "denied", "does not hold"));
      made.append(element("div", "where", `${method}, ${concepts} (setting ${setting})`));
      return made;
    };
    // measures that no setting has are left out
    const measures = [["Held-out", 2], ["of ceiling", 3], ["Confidence", 4], ["IoU", 6]]
      .filter(([, place]) => details.others[row].some((said) => said[place] !== null));
    const rows = details.others[row].map((said) => [named(said), ...measures.map(([, place]) => numbered(said[place]))]);
    return section("What other settings say", "", table(["Label", ...measures.map(([head]) => head)], rows));
  };
  const near = (row) => {
    if (!details.near[row]) return null;
    const rows = details.near[row].map(([other, images]) => {
      if (typeof other === "string") return [element("span", "where", other), String(images)];  // not in this report
      const named = element("div");
      named.append(link(other, report.label(other)), element("div", "where", report.where(other)));
      return [named, String(images)];
    });
    return section("Near units", "Units of any layer that share top images with it.",
      table(["Unit", "Shared"], rows));
  };
  const command = (row) => {
    const quoted = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
    const text = `cli unit ${quoted(units.model[row])} ${quoted(units.layer[row])} ${units.unit[row]} `
      + dialog.dataset.commandEnd;
    return section("More of it", "All that the warehouse has of this unit:", element("code", "", text));
  };

  // --- the dialog -----------------------------------------------------------------------------------------------
  const fill = (row) => {
    const title = element("h2");
    title.id = "unit-title";
    title.append(report.label(row), ...report.marks(row));
    const columns = element("div", "columns");
    for (const makers of [[histogram, concepts, others], [preferred, near]]) {
      const column = element("div");
      column.append(...makers.map((make) => make(row)).filter(Boolean));
      if (column.firstChild) columns.append(column);
    }
    const parts = [top(row), bands(row), columns, command(row)].filter(Boolean);
    byId("of-unit").replaceChildren(title, ...report.facts(row), ...parts);
    byId("unit-where").textContent = report.where(row);
    for (const [id, step] of [["unit-before", -1], ["unit-after", 1]]) {
      byId(id).disabled = !report.isChosen(row) || report.after(row, step) === undefined;
    }
    shown = row;
  };
  const show = (row) => {
    fill(row);
    if (!dialog.open) dialog.showModal();
    byId("of-unit").scrollTop = 0;
    byId("of-unit").focus();
  };
  const move = (step) => {
    if (!byId(step < 0 ? "unit-before" : "unit-after").disabled) report.showUnit(report.after(shown, step));
  };
  byId("unit-before").addEventListener("click", () => move(-1));
  byId("unit-after").addEventListener("click", () => move(1));
  byId("unit-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowLeft") move(-1);
    if (event.key === "ArrowRight") move(1);
  });
  // a click beside it, and no selection of text that ends there
  let pressed = null;
  dialog.addEventListener("pointerdown", (event) => { pressed = event.target; });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && pressed === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => report.closed());
  return { show, close: () => dialog.open && dialog.close() };
};
