// Put every line where z says, its label where there is room, and the rest-frame axis under the observed one.
// Runs in the browser alone. Arguments: lines (source), sky (source of names), flux (figure), close (figure of the closer
// look), rest (range), slider, typed, marker (p(z) span).
const z = Math.expm1(slider.value)
const d = lines.data
const n = d.rest.length
const start = flux.x_range.start, end = flux.x_range.end
for (let i = 0; i < n; i++) d.wave[i] = d.rest[i] * (1 + z)

// Strong lines choose their label's row first; a label that finds no room in three rows stays away.
function label(figure, tall, at, text, height) {
  if (Bokeh.index.find_one_by_id(figure.id) == null) return  // before it is drawn a figure has no width
  const {start, end} = figure.x_range
  const per_pixel = (end - start) / (figure.inner_width || 200)
  const rows = {emission: [], absorption: []}
  const taken = []
  for (let i = 0; i < n; i++) {
    text[i] = ""
    const wave = d.wave[i]
    if (wave < start || wave > end) continue
    const half = 0.5 * (d.name[i].length * 6.4 + 6) * per_pixel
    if (taken.some(([name, at]) => name == d.name[i] && Math.abs(at - wave) < 40 * per_pixel)) continue
    const side = rows[d.kind[i]]
    for (let row = 0; row < 3; row++) {
      side[row] = side[row] || []
      const middle = Math.min(Math.max(wave, start + half), end - half)
      if (side[row].every(([a, b]) => middle + half < a || middle - half > b)) {
        side[row].push([middle - half, middle + half])
        at[i] = middle
        taken.push([d.name[i], wave])
        text[i] = d.name[i]
        height[i] = d.kind[i] == "emission" ? 1 - tall * (row + 0.55) : tall * (row + 0.65)
        break
      }
    }
  }
}
label(flux, 0.045, d.at, d.label, d.height)
label(close, 0.11, d.at_close, d.label_close, d.height_close)

// Names of the sky stand upright: one line's height apart, or the later stays away.
const names = sky.data
const apart = (12 * (end - start)) / (flux.inner_width || 800)
let last = -Infinity, changed = false
for (let i = 0; i < names.wave.length; i++) {
  const shown = names.wave[i] - last > apart && names.wave[i] > start && names.wave[i] < end
  const text = shown ? names.name[i] : ""
  if (shown) last = names.wave[i]
  if (names.label[i] !== text) {
    names.label[i] = text
    changed = true
  }
}
if (changed) sky.change.emit()

rest.setv({start: start / (1 + z), end: end / (1 + z)})
const shown = Math.round(z * 1e6) / 1e6
if (typed.value !== shown) {
  // Before it is drawn the box has no element to write to: set the model quietly, it will be drawn from that.
  const drawn = Bokeh.index.find_one_by_id(typed.id)?.input_el != null
  typed.setv({value: shown}, {sync: false, silent: !drawn})
}
marker.location = z
lines.change.emit()
