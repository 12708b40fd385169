"""How an object's page looks: the app's type and colours on paper, and the buttons that put lines on a peak."""

from bokeh.themes import Theme

from gasnet_app.theme import BODY, FONT, LIGHT, SMALL, TEXT_CSS

CSS = f"""
:root {{ color-scheme: light; --panel-on-background-color: {LIGHT.ink}; --panel-background-color: {LIGHT.ground};
  --border-color: {LIGHT.hairline}; --panel-primary-color: {LIGHT.accent}; --danger-bg-color: {LIGHT.danger}; }}
* {{ box-sizing: border-box; }}
{TEXT_CSS.replace(":host", "body")}
body {{ margin: 0; background: {LIGHT.ground}; height: 100vh; display: flex; flex-direction: column; }}
header {{ display: flex; align-items: baseline; gap: 4px 16px; padding: 10px 16px 4px; flex-wrap: wrap; }}
h1 {{ font-size: 17px; font-weight: 600; margin: 0; overflow-wrap: anywhere; }}
.facts {{ flex: 1 1 auto; }}
.facts span:first-child {{ margin-left: 0; }}
.model {{ color: {LIGHT.quiet}; }}
main {{ flex: 1 1 0; min-height: 0; display: flex; gap: 8px; padding: 0 16px 8px; }}
.spectrum {{ flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; }}
.plots {{ flex: 1 1 0; min-height: 380px; position: relative; }}
.controls {{ flex: 0 0 44px; }}
.root {{ display: contents; }}
aside {{ flex: 0 0 300px; width: 300px; overflow-y: auto; }}
.bars {{ display: grid; grid-template-columns: max-content 1fr max-content; gap: 3px 8px; align-items: center;
  font-size: {SMALL}; margin: 6px 0; }}
.bar {{ position: relative; height: 11px; background: {LIGHT.hairline}66; }}
.bar b {{ position: absolute; inset: 0 auto 0 0; }}
.bar i {{ position: absolute; top: 1px; bottom: 1px; width: 1px; background: {LIGHT.ink}b0; }}
.rivals {{ font-size: {SMALL}; margin: 4px 0 0; }}
.rivals li {{ margin-bottom: 2px; }}
button[data-z] {{ font: {SMALL} {FONT}; font-variant-numeric: tabular-nums; color: {LIGHT.accent}; background: none;
  border: 0; padding: 0; cursor: pointer; }}
button[data-z]:hover {{ text-decoration: underline; }}
@media (max-width: 900px) {{
  body {{ height: auto; }} main {{ flex-direction: column; }} aside {{ flex: none; width: auto; }}
  .plots {{ flex: none; height: 60vh; }} .controls {{ flex-basis: auto; overflow-x: auto; }} }}
@media print {{ .controls {{ display: none; }} }}
"""

# The page has no server that would send the app's theme to the figures.
THEME = Theme(json={"attrs": {
    "Plot": {"background_fill_alpha": 0, "border_fill_alpha": 0, "outline_line_color": None},
    "Axis": {
        "axis_label_text_font": FONT, "axis_label_text_font_size": BODY, "axis_label_text_font_style": "normal",
        "axis_label_text_color": LIGHT.ink, "major_label_text_font": FONT, "major_label_text_font_size": SMALL,
        "major_label_text_color": LIGHT.ink, "axis_line_color": LIGHT.band, "major_tick_line_color": LIGHT.band,
        "minor_tick_line_color": None,
    },
    "Grid": {"grid_line_color": LIGHT.hairline, "grid_line_alpha": 0.5},
}})  # fmt: skip

SCRIPT = """
const [documents, places] = ["document", "item"].map((id) => JSON.parse(document.getElementById(id).textContent))
Bokeh.embed.embed_items(documents, places)
document.querySelectorAll("button[data-z]").forEach((button) => button.addEventListener("click", () => {
  Bokeh.documents[0].get_model_by_name("z slider").value = Math.log1p(Number(button.dataset.z))
}))
"""
