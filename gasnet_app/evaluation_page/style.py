"""How the page of an evaluation looks, and the few lines of script that draw a figure when it comes into view."""

from gasnet_app.theme import FONT, LIGHT

CSS = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
html {{ scroll-behavior: smooth; scroll-padding-top: 48px; }}
body {{ margin: 0; font: 13px/1.5 {FONT}; color: {LIGHT.ink}; background: {LIGHT.ground};
  font-variant-numeric: tabular-nums; }}
header, main, footer {{ max-width: 1440px; margin: 0 auto; padding: 0 28px; }}
header {{ padding-top: 28px; }}
h1 {{ font-size: 26px; font-weight: 650; letter-spacing: -.01em; margin: 0; }}
header > p {{ margin: 2px 0 18px; color: {LIGHT.quiet}; font-size: 14px; }}
h2 {{ font-size: 17px; font-weight: 650; margin: 0 0 10px; }}
h3 {{ font-size: 13px; font-weight: 650; margin: 22px 0 6px; }}
.numbers {{ display: flex; flex-wrap: wrap; gap: 10px 40px; margin-bottom: 18px; }}
.numbers div span {{ display: block; color: {LIGHT.quiet}; font-size: 11px; }}
.numbers b {{ font-size: 21px; font-weight: 600; }}
.numbers small {{ color: {LIGHT.quiet}; font-size: 12px; margin-left: 4px; }}
nav {{ position: sticky; top: 0; z-index: 10; background: {LIGHT.ground}f2; border-block: 1px solid {LIGHT.hairline};
  padding: 8px max(28px, calc(50vw - 692px)); display: flex; flex-wrap: wrap; gap: 2px 22px; }}
nav a {{ color: {LIGHT.accent}; text-decoration: none; }}
nav a:hover {{ text-decoration: underline; }}
section {{ padding: 28px 0 12px; border-bottom: 1px solid {LIGHT.hairline}; }}
section:last-child {{ border: 0; }}
figure {{ margin: 0 0 26px; }}
figcaption {{ color: {LIGHT.quiet}; font-size: 12px; max-width: 110ch; margin-top: 4px; }}
.grid {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(380px, 100%), 1fr)); gap: 18px 24px; }}
.grid.wide {{ grid-template-columns: minmax(0, 860px); }}
.grid.wide-two {{ grid-template-columns: repeat(auto-fill, minmax(min(560px, 100%), 1fr)); }}
.grid.loose {{ display: flex; flex-wrap: wrap; align-items: flex-start; gap: 0 24px; overflow-x: auto; }}
.plot {{ min-height: 280px; min-width: 0; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 12px; }}
th {{ text-align: left; font-weight: 500; color: {LIGHT.quiet}; vertical-align: bottom; }}
th, td {{ padding: 4px 16px 4px 0; border-bottom: 1px solid {LIGHT.hairline}80; }}
td {{ white-space: nowrap; }}
#quality th, #quality td {{ padding-right: 7px; }}
#quality :is(th, td):last-child {{ padding-right: 0; }}
td.number, th.number {{ text-align: right; }}
td small {{ color: {LIGHT.quiet}; font-size: 10px; margin-left: 3px; }}
tr.sum td {{ font-weight: 600; }}
tr.sum td small {{ font-weight: 400; }}
tr.first td {{ border-top: 1px solid {LIGHT.band}; }}
td.wrap {{ white-space: normal; min-width: 260px; }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 22px; margin: 0; max-width: 110ch; }}
dt {{ color: {LIGHT.quiet}; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
details {{ margin: 0 0 24px; }}
summary {{ cursor: pointer; color: {LIGHT.accent}; margin-bottom: 8px; }}
footer {{ color: {LIGHT.quiet}; font-size: 12px; padding-block: 18px 40px; }}
@media print {{ nav {{ display: none; }} figure, tr {{ break-inside: avoid; }} }}
"""

DRAW = """
(() => {
  const draw = (place) => {
    const script = place.querySelector("script");
    if (!script) return;
    script.remove();
    Bokeh.embed.embed_item(JSON.parse(script.textContent), place).then(() => place.classList.add("drawn"));
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, {rootMargin: "600px"});
  const places = document.querySelectorAll(".plot");
  places.forEach((place) => seen.observe(place));
  addEventListener("beforeprint", () => places.forEach(draw));
})();
"""
