// Save the figures, one under the other, below a title that says what they show.
// Arguments: title (source of one row), figures, slider (z), font, kind ("png" or "svg").
const [about, answer, best, file, ink, ground] =
  ["about", "answer", "z", "file", "ink", "ground"].map((key) => title.data[key][0])
const z = Math.expm1(slider.value)
const moved = best == null || Math.abs(z - best) > 1e-6
const words = [about, answer, ...(moved ? [`lines at z = ${z.toFixed(6)}, set by hand`] : [])]
const LINE = 18, EDGE = 8
const head = 2 * EDGE + LINE * words.length
const views = figures.map((one) => Bokeh.index.find_one_by_id(one.id)).filter((view) => view != null && view.bbox.height)
const layers = views.map((view) => view.export(kind, true))
const width = Math.max(...views.map((view) => view.bbox.width))
const height = head + views.reduce((sum, view) => sum + view.bbox.height, 0) + EDGE
const style = (i) => `${i == 0 ? "600 " : ""}12px ${font}`
const canvas = document.createElement("canvas")
// Words that are too many for the width are set in smaller type, never cut.
const measure = canvas.getContext("2d")
const sizes = words.map((text, i) => {
  measure.font = style(i)
  return Math.min(12, (12 * (width - 2 * EDGE)) / measure.measureText(text).width)
})

function save(blob) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = `${file}_z${z.toFixed(5)}.${kind}`
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}

if (kind == "svg") {
  const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}[c]))
  const texts = words.map((text, i) =>
    `<text x="${EDGE}" y="${EDGE + LINE * (i + 0.75)}" font-family="${escaped(font)}" font-size="${sizes[i]}" ` +
    `font-weight="${i == 0 ? 600 : 400}" fill="${ink}">${escaped(text)}</text>`)
  Promise.all(layers.map(async (layer) => await (await layer.to_blob()).text())).then((drawn) => {
    let y = head
    const parts = drawn.map((text, i) => {
      const placed = `<g transform="translate(0, ${y})">${text.replace(/^<\?xml[^>]*>/, "")}</g>`
      y += views[i].bbox.height
      return placed
    })
    const whole = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
      `width="${width}" height="${height}"><title>${escaped(words.join("; "))}</title>` +
      `<rect width="100%" height="100%" fill="${ground}"/>${texts.join("")}${parts.join("")}</svg>`
    save(new Blob([whole], {type: "image/svg+xml"}))
  })
} else {
  const ratio = layers[0].pixel_ratio
  canvas.width = width * ratio
  canvas.height = height * ratio
  const ctx = canvas.getContext("2d")
  ctx.fillStyle = ground
  ctx.fillRect(0, 0, canvas.width, canvas.height)
  let y = head * ratio
  layers.forEach((layer, i) => {
    ctx.drawImage(layer.canvas, 0, y)
    y += views[i].bbox.height * ratio
  })
  ctx.scale(ratio, ratio)
  ctx.fillStyle = ink
  words.forEach((text, i) => {
    ctx.font = style(i).replace("12px", `${sizes[i]}px`)
    ctx.fillText(text, EDGE, EDGE + LINE * (i + 0.75))
  })
  canvas.toBlob(save, "image/png")
}
