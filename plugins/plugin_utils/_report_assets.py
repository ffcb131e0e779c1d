# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's style sheet and its script, which stand in the page itself: it is read without any network.

The script only adds: without it, all of the page is there, and is filtered by health by the style sheet alone.
Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from markupsafe import Markup

STYLE = Markup("""
:root{color-scheme:light dark;--bg:#f5f7f9;--card:#fff;--ink:#17212b;--soft:#4d5b69;--line:#d5dce3;--accent:#00695c;
--good:#17703a;--warn:#845000;--bad:#b3261e;--good-bg:#e5f4ea;--warn-bg:#fff2d9;--bad-bg:#fdebea;--note-bg:#eaeef2;
--ext:#fdecc0;--ext-line:#b98a1b;--tun:#dde8fb;--tun-line:#5b82c4;--shadow:0 1px 2px #0f172a14,0 4px 16px #0f172a0d}
@media (prefers-color-scheme:dark){:root{--bg:#0f151b;--card:#18212a;--ink:#e6edf3;--soft:#a3b3c2;--line:#2e3b48;
--accent:#4fd1b5;--good:#63d487;--warn:#f1b955;--bad:#ff8f86;--good-bg:#13301e;--warn-bg:#382b10;--bad-bg:#3d1b1b;
--note-bg:#232e39;--ext:#382f15;--ext-line:#a98a3a;--tun:#17283f;--tun-line:#4f79b8;--shadow:none}}
*{box-sizing:border-box}
html{scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main,header,footer{max-width:1120px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:clamp(1.25rem,5.5vw,1.7rem);line-height:1.2;margin:.1em 0;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:0 0 12px}
p{margin:0 0 10px}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-999px;top:0;background:var(--card);padding:10px 16px;z-index:9}
.skip:focus{left:8px;top:8px}
.eyebrow,.soft,small{color:var(--soft)}
.eyebrow{font-size:.85rem;margin:0}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.92em}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:14px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:20px;margin:0 0 20px;
box-shadow:var(--shadow)}
.verdict{display:flex;gap:12px;align-items:center;padding:14px 18px;border-radius:14px;margin:16px 0;
font-size:1.05rem;border:1px solid}
.verdict b{font-size:1.15rem}
.verdict .big{font-size:1.6rem;line-height:1}
.verdict.ok{background:var(--good-bg);border-color:var(--good)}.verdict.ok b{color:var(--good)}
.verdict.warning{background:var(--warn-bg);border-color:var(--warn)}.verdict.warning b{color:var(--warn)}
.verdict.error{background:var(--bad-bg);border-color:var(--bad)}.verdict.error b{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 20px;padding:0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 16px;
box-shadow:var(--shadow)}
.tiles dt{color:var(--soft);font-size:.85rem}
.tiles dd{margin:0;font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.3;
overflow-wrap:anywhere}
.tiles small{display:block;font-size:.8rem;font-weight:400;line-height:1.35}
.chip{display:inline-block;padding:1px 9px;border-radius:99px;font-size:.82rem;font-weight:600;white-space:nowrap;
border:1px solid transparent}
.chip.ok{background:var(--good-bg);color:var(--good)}.chip.warning{background:var(--warn-bg);color:var(--warn)}
.chip.error{background:var(--bad-bg);color:var(--bad)}
.chip.claimed,.chip.unjudged,.chip.plain{background:var(--note-bg);color:var(--ink)}
.site{display:block;width:100%;height:auto}.site.tall{display:none}
.site text{fill:var(--ink);font:13px system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif}
.site .b{font-weight:650}.site .s{font-size:12px;fill:var(--soft)}
.site .m{font-family:ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11.5px}
.site .good{fill:var(--good)}.site text.bad{fill:var(--bad)}
.box{fill:var(--card);stroke:var(--soft);stroke-width:1.2}.box.on{stroke:var(--good);stroke-width:2.5;
fill:var(--good-bg)}
.box.bad{stroke:var(--bad);stroke-width:2;stroke-dasharray:5 4;fill:var(--bad-bg)}.box.router{fill:var(--note-bg)}
.bar.ext{fill:var(--ext);stroke:var(--ext-line)}.bar.tun{fill:var(--tun);stroke:var(--tun-line)}
.wire,.path{fill:none;stroke:var(--soft);stroke-width:1.3;stroke-linejoin:round}.wire.dead{stroke:var(--bad);
stroke-dasharray:4 4}
.path{stroke:var(--good);stroke-width:3.5}.path.thin{stroke-width:1.8}
.mark.ok{fill:var(--good)}.mark.warning{fill:var(--warn)}.mark.error{fill:none;stroke:var(--bad);stroke-width:2.2}
.mark.claimed{fill:none;stroke:var(--soft);stroke-width:1.4}.mark.unjudged{fill:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;padding:0;margin:12px 0 0;font-size:.88rem;
color:var(--soft)}
.key{width:12px;height:12px;margin-right:6px;vertical-align:-1px}
details{border:1px solid var(--line);border-radius:10px;margin:0 0 10px;background:var(--card)}
summary{cursor:pointer;padding:10px 14px;display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;
border-radius:10px}
summary::before{content:"▸";color:var(--soft);width:.8em}details[open]>summary::before{content:"▾"}
summary::-webkit-details-marker{display:none}
.inside{padding:0 14px 12px}
.inside ul{padding:0;margin:0;list-style:none}.inside li{padding:8px 0;border-top:1px solid var(--line);
overflow-wrap:anywhere}
pre{background:var(--note-bg);border-radius:8px;padding:8px 12px;margin:6px 0 0;white-space:pre-wrap;
overflow-wrap:anywhere}
.repair{display:flex;gap:8px;align-items:flex-start}.repair pre{flex:1;min-width:0}
button{font:inherit;color:var(--accent);background:var(--card);border:1px solid var(--line);border-radius:8px;
padding:3px 10px;cursor:pointer}
.repair button{margin-top:8px;font-size:.85rem}
.tools{display:flex;flex-wrap:wrap;gap:10px 20px;align-items:center;margin:0 0 12px}
.tools fieldset{border:0;padding:0;margin:0;display:flex;flex-wrap:wrap;gap:4px 14px}
.tools legend{float:left;margin-right:10px;color:var(--soft)}
#searching{display:flex;gap:8px;align-items:center}
input[type=search]{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--soft);border-radius:8px;
padding:6px 12px;width:min(280px,60vw)}
input[type=radio]{accent-color:var(--accent)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding-bottom:6px;font-size:.9rem}
th,td{text-align:left;padding:7px 10px 7px 0;border-top:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
thead th{border-top:0;color:var(--soft);font-size:.88rem;font-weight:600;white-space:nowrap}
th button{border:0;padding:2px 0;background:none;color:inherit;font-weight:inherit}
th button::after{content:" ↕";opacity:.55}th[aria-sort=ascending] button::after{content:" ↑";opacity:1}
th[aria-sort=descending] button::after{content:" ↓";opacity:1}
tbody th{font-weight:600}
tr:target{background:var(--warn-bg)}
td small{display:block}
td.num,th.num{text-align:right;padding-right:14px}
.gauge{width:100%;min-width:60px;height:10px;display:block;margin-top:6px}.gauge rect{fill:var(--warn)}
.gauge .rail{fill:var(--note-bg)}
section:has(#with-findings:checked) tbody tr.fine{display:none}
[hidden]{display:none!important}
footer{padding-bottom:40px;color:var(--soft);font-size:.88rem}
@media screen and (max-width:760px){.site.wide{display:none}.site.tall{display:block}
main,header,footer{padding-left:12px;padding-right:12px}
section{padding:14px}#eips thead,#failover thead{position:absolute;left:-999px}
#eips tbody tr,#failover tbody tr{display:grid;grid-template-columns:minmax(7.2em,auto) 1fr;gap:0 10px;padding:8px 0;
border-top:1px solid var(--line)}
#eips tbody td,#eips tbody th,#failover tbody td,#failover tbody th{border:0;padding:2px 0;text-align:left}
#eips tbody th,#failover tbody th,#eips tbody td:empty{grid-column:1/-1}#eips tbody td:empty{display:none}
#eips td[data-label]::before,#failover td[data-label]::before{content:attr(data-label);color:var(--soft);
font-size:.85rem;display:block}}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--accent:#000;
--good:#17703a;--warn:#845000;
--bad:#b3261e;--good-bg:#fff;--warn-bg:#fff;--bad-bg:#fff;--note-bg:#f2f2f2;--ext:#fff6de;--tun:#eef4ff;--shadow:none}
body{font-size:10pt}nav,.tools,.skip,.repair button{display:none!important}
th button::after{content:""!important}main,header,footer{max-width:none;padding:0}
section{border:0;padding:0;margin:0 0 14pt}.site.wide{display:block}.site.tall{display:none}
.chip,.verdict{border-color:currentcolor}
details::details-content{content-visibility:visible!important;block-size:auto!important}
summary::before{content:""!important;width:0}
tr,li,.verdict,svg{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}
th,td{padding:3pt 6pt 3pt 0}}
@page{margin:14mm}
""")

SCRIPT = Markup("""
(() => {
  'use strict';
  const table = document.querySelector('#eips table');
  if (table) {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    const search = document.getElementById('search'), shown = document.getElementById('shown');
    const words = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
    const order = new Map(rows.map((row, index) => [row, index]));
    const healthy = () => document.getElementById('with-findings').checked;
    const filter = () => {
      const asked = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        row.hidden = !asked.every(word => words.get(row).includes(word));
        if (!row.hidden && !(healthy() && row.classList.contains('fine'))) count++;
      }
      shown.textContent = count + ' of ' + rows.length + ' shown';
    };
    document.getElementById('searching').hidden = false;
    search.addEventListener('input', filter);
    for (const radio of document.querySelectorAll('#eips input[type=radio]')) radio.addEventListener('change', filter);
    const key = (row, column) => {
      const cell = row.cells[column];
      return column === 0 ? order.get(row) : 'rank' in cell.dataset ? Number(cell.dataset.rank) : cell.textContent;
    };
    heads.forEach((head, column) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') === 'ascending';
        for (const other of heads) other.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const keyed = rows.map(row => [key(row, column), order.get(row), row]);
        keyed.sort((a, b) => {
          const by = typeof a[0] === 'number' ? a[0] - b[0] : a[0].localeCompare(b[0], undefined, {numeric: true});
          return (down ? -by : by) || a[1] - b[1];
        });
        body.append(...keyed.map(entry => entry[2]));
      });
    });
    filter();
    // What a link leads to is shown, whatever search and filter say.
    const reveal = hash => {
      const row = rows.find(one => '#' + one.id === hash);
      if (!row || row.checkVisibility()) return;
      search.value = '';
      if (row.classList.contains('fine')) document.getElementById('all').checked = true;
      filter();
    };
    for (const link of document.querySelectorAll('a[href^="#eip-"]')) {
      link.addEventListener('click', () => reveal(link.hash));
    }
    addEventListener('hashchange', () => {
      reveal(location.hash);
      document.querySelector(':target')?.scrollIntoView();
    });
  }
  if (navigator.clipboard) for (const pre of document.querySelectorAll('.repair pre')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.addEventListener('click', () => navigator.clipboard.writeText(pre.textContent).then(
      () => { button.textContent = 'Copied'; }, () => { button.textContent = 'Select it by hand'; }));
    pre.after(button);
  }
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = [...document.querySelectorAll('details:not([open])')];
    for (const one of closed) one.open = true;
  });
  addEventListener('afterprint', () => { for (const one of closed) one.open = false; });
})();
""")
