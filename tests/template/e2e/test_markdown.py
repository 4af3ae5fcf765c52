"""Markdown in the answers of a model, as the playground renders it in a real Chromium."""

import re

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import TimeoutError as NeverRendered

from tests.conftest import until
from tests.template.e2e.conftest import CHROMIUM, Open, ask
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

ATTACKS = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2"> <base href="http://evil.example/">

[a](javascript:window.hacked=3) [b](JaVaScRiPt:window.hacked=4) [c](data:text/html,<script>window.hacked=5</script>)
![g](data:image/svg+xml;base64,PHN2Zy8+) ![h"onerror="window.hacked=15](data:image/png;base64,iVBORw0KGgo=)
![d](http://example.com/pixel.png) <http://example.com/e"onmouseover="window.hacked=6> [f](https://example.com/f)
<iframe srcdoc="<script>parent.hacked = 7</script>"></iframe> <svg onload=window.hacked=8><style><img src=x onerror=1>

```html"><script>window.hacked = 9</script>
</code></pre><script>window.hacked = 10</script>
```

&lt;script&gt;window.hacked = 13&lt;/script&gt; <br onclick="window.hacked = 14"> $<img src=x onerror=window.hacked=16>$

| <img src=x onerror=window.hacked=11> | b |
|---|---|
| <b>bold</b> | [g](vbscript:window.hacked=12) |

[^"><script>window.hacked=17</script>]: <form action="http://evil.example"><button formaction=javascript:1></form>
<meta http-equiv="refresh" content="0;url=javascript:window.hacked=18"> <link rel=stylesheet href=http://evil.example>

[x]: javascript:window.hacked=19
[x] <math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hacked=20&gt;">"""
NEVER = "script, iframe, svg, style, object, embed, form, base, meta, link, input, math, template, details"
# HTML that has passed sanitizers, or means something to the page.
RAW = [
    *("<img src=x onerror=hacked=1>", "<svg><script>hacked=1</script></svg>", "<a href=' javascript:hacked=1'>a</a>"),
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=hacked=1&gt;'>",
    "<svg></p><style><a id='</style><img src=1 onerror=hacked=1>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=hacked=1>",
    "<noscript><p title='</noscript><img src=x onerror=hacked=1>'>",
    "<a href='data:text/html,x'>a</a><img src='http://evil.example/x.png'><img src='data:image/svg+xml,x'>",
    "<p style='position:fixed' onclick=hacked=1 data-x=1 name=body>a</p><style>*{color:red}</style><base href=//evil>",
    "<iframe srcdoc=x></iframe><object data=x></object><embed src=x><link rel=stylesheet href=x><meta http-equiv=x>",
    "<template><img src=x onerror=hacked=1></template><input autofocus onfocus=hacked=1><details open>",
]
SANITIZE = """async (texts) => {
    const { sanitize } = await import("/static/sanitizer.js");
    return texts.map((text) => {
        const root = document.createElement("div");
        root.append(sanitize(text));
        document.querySelector("#log").append(root);
        return root.innerHTML;
    });
}"""

TABLE = (
    '<div class="table"><table><thead><tr><th>a</th><th align="right">b</th></tr></thead>'
    '<tbody><tr><td>1<br>2</td><td align="right"><a href="https://b/3">3</a></td></tr></tbody></table></div>'
)
TODO, DONE = (f'<span class="task" role="img" aria-label="{label}">' for label in ("to do", "done"))
NOTES = (
    '<p>One<sup><a href="#note-1" id="note-1-from" aria-label="Footnote 1">1</a></sup>, '
    '[^x] and again<sup><a href="#note-1" aria-label="Footnote 1">1</a></sup></p>'
    '<section class="footnotes"><ol><li id="note-1"><p>A <em>note</em></p><p>of two '
    '<a href="#note-1-from" aria-label="Back to reference 1">↩</a></p></li>'
    '<li id="note-2"><p>Unused</p></li></ol></section>'
)
BLOCKS = {  # source: HTML, without captions and the attributes that are the same everywhere
    "# C#\n## C ##": "<h3>C#</h3><h4>C</h4>",
    "One\n===\nTwo\n---\nThree": "<h3>One</h3><h4>Two</h4><p>Three</p>",
    "One\n\n---\n- a\n---": "<p>One</p><hr><ul><li>a</li></ul><hr>",
    "> quoted\n> # more\n\nEnd": "<blockquote><p>quoted</p><h3>more</h3></blockquote><p>End</p>",
    "- one\n  - nested\n- two\n\n3. three\n4. four": (
        '<ul><li>one<ul><li>nested</li></ul></li><li>two</li></ul><ol start="3"><li>three</li><li>four</li></ol>'
    ),
    "1. a\n\n2. b\n-\tc": "<ol><li><p>a</p></li><li><p>b</p></li></ol><ul><li>c</li></ul>",
    "So:\n1. a\n2. b": "<p>So:</p><ol><li>a</li><li>b</li></ol>",
    "It came out in\n1984. It sold.": "<p>It came out in<br>1984. It sold.</p>",
    "1. a\n\n   ```\n   b\n\n\n   c\n   ```": "<ol><li><p>a</p><pre><code>b\n\n\nc</code></pre></li></ol>",
    "~~~\nfenced <b>\n~~~\n\nEnd": "<pre><code>fenced &lt;b&gt;</code></pre><p>End</p>",
    "a\r\nb\r\n\r\n```\r\nc\r\n```": "<p>a<br>b</p><pre><code>c</code></pre>",
    "| a | b |\r\n|---|--:|\r\n| 1<br>2 | [3](https://b/3) |\r\n\r\nEnd": f"{TABLE}<p>End</p>",
    "- [ ] a\n- [x] b": f"<ul><li>{TODO}</span> a</li><li>{DONE}✓</span> b</li></ul>",
    "One[^n], [^x] and again[^n]\n\n[^n]: A *note*\n\n    of two\n\n[^u]: Unused": NOTES,
    "$$\na_1 * b_2 \\\\\n*c*\n$$": '<p class="math"><code>$$\na_1 * b_2 \\\\\n*c*\n$$</code></p>',
    "\\[\nx_1 < y_2\n\\]\n\nEnd": '<p class="math"><code>\\[\nx_1 &lt; y_2\n\\]</code></p><p>End</p>',
    "<div>\n*a*\n</div>": "<p>&lt;div&gt;<br>*a*<br>&lt;/div&gt;</p>",
    "[a][late] [^]\n\n# b\n\nc\n\n[late]: https://d": '<p><a href="https://d">a</a> [^]</p><h3>b</h3><p>c</p>',
    "```python\nx = 1  # a < b\n```": (
        '<pre><code class="python">x = <span class="hljs-number">1</span>  '
        '<span class="hljs-comment"># a &lt; b</span></code></pre>'
    ),
}
WORDS = {  # source: the HTML of a paragraph
    "**bold**, *slanted*, `a`, ~~gone~~": "<strong>bold</strong>, <em>slanted</em>, <code>a</code>, <del>gone</del>",
    "snake_case_words, 2 * 3 * 4\nH<sub>2</sub>O": "snake_case_words, 2 * 3 * 4<br>H<sub>2</sub>O",
    "<B>b</B> <b class=x>": "<b>b</b> &lt;b class=x&gt;",
    "***a* b** and ***a** b*": "<strong><em>a</em> b</strong> and <em><strong>a</strong> b</em>",
    "**kwargs in `f(**x)`": "**kwargs in <code>f(**x)</code>",
    "&lt;b&gt; `&lt;` a&nbsp;b": "&lt;b&gt; <code>&amp;lt;</code> a&nbsp;b",
    "a<br>b<br/>c<BR />d\\\ne": "a<br>b<br>c<br>d<br>e",
    "https://a.b/c_(d), (https://a.b) https://a.b.": (
        '<a href="https://a.b/c_(d)">https://a.b/c_(d)</a>, (<a href="https://a.b">https://a.b</a>)'
        ' <a href="https://a.b">https://a.b</a>.'
    ),
    "[![a](https://a/b.png) **b**](https://d)": '<a href="https://d">image: a <strong>b</strong></a>',
    r"**a $x_1*y*$** and $b_2$": (
        '<strong>a <code class="math">$x_1*y*$</code></strong> and <code class="math">$b_2$</code>'
    ),
    r"\(a_1 \ne b_2\) \[c\] $$d$$": (
        r'<code class="math">\(a_1 \ne b_2\)</code> <code class="math">\[c\]</code> <code class="math">$$d$$</code>'
    ),
    r"It costs $5 and $10, or $5-$6, \$7 or $x$1, $A/$B": "It costs $5 and $10, or $5-$6, $7 or $x$1, $A/$B",
}
CASES = BLOCKS | {text: f"<p>{html}</p>" for text, html in WORDS.items()}
OMITTED = re.compile(
    r'<figcaption>.*?</figcaption>|</?figure>| (tabindex|target|rel)="[^"]*"|(?<=note-)\d+-|\n(?=<)|(?<=>)\n'
)

# Renders each text in pieces of each of the sizes, and returns the different results for each text.
RENDER = """async ([texts, sizes]) => {
    const { Markdown } = await import("/static/markdown.js");
    const render = (text, size) => {
        const root = document.createElement("div");
        const markdown = new Markdown(root);
        for (let at = 0; at < text.length; at += size) {
            markdown.append(text.slice(at, at + size));
            markdown.render();
        }
        markdown.finish();
        return root.innerHTML;
    };
    render("```python", 10);
    const { default: highlighter } = await import("/static/vendor/highlight/core.min.js");
    while (!highlighter.getLanguage("python")) await new Promise(setTimeout);
    return texts.map((text) => [...new Set(sizes.map((size) => render(text, size)))]);
}"""
START = f"""(texts) => void setTimeout(async () => {{
    await ({RENDER})(texts);
    console.log("rendered");
}})"""

# Returns how many elements were replaced when more text came, and the scroll position and the selection then.
GROW = """async ([text, more]) => {
    const { Markdown } = await import("/static/markdown.js");
    const root = document.createElement("div");
    root.className = "text";
    document.querySelector("#log").replaceChildren(root);
    const markdown = new Markdown(root);
    markdown.append(text);
    markdown.render();
    const before = [...root.querySelectorAll("*")];
    const wide = root.querySelector("pre, .table");
    wide.scrollLeft = 20;
    const selected = root.querySelector("code, td").firstChild;
    getSelection().setBaseAndExtent(selected, 0, selected, 5);
    markdown.append(more);
    markdown.render();
    return [before.filter((each) => !each.isConnected).length, wide.scrollLeft, getSelection().toString()];
}"""
LINE, ROW = "x = 1" * 100, "|Measurement" * 30

# Texts that a careless regular expression takes minutes for, when they are repeated.
REPEATED = [
    *["*", "**a ", "_a ", "`a``b", "[", "[a](", "[[a]", "![a](", "> ", "~~a ", "- ", "# ", "|-", "- a\n", "|a|\n|-|\n"],
    *["http://", "http://(a", "`", "_", "# *", "***a ", "*a **b** ", "*a `", "# # ", "&lt", "<br ", "\\\n"],
    *["- a\n\n\n", "a\n==", "- \n\r\n", "[^a]", "[^a]: b\n", "$a ", "\\(", "$$\n\n", "\\begin{a}\n"],
]


def test_nothing_in_an_answer_runs(visit: Open, server: Server) -> None:
    page = visit(server)

    answer = ask(page, "echo-function", ATTACKS)

    expect(answer).to_contain_text("Retry")
    text = answer.locator(".text")
    for seen in (
        "<script>window.hacked = 1</script>",
        "<iframe srcdoc=",
        "<svg onload=window.hacked=8>",
        "<form action=",
    ):
        expect(text).to_contain_text(seen)
    addresses = text.locator("a").evaluate_all(
        "links => links.map(link => [link.getAttribute('href'), link.rel, link.target])"
    )
    assert [each for each in addresses if each[0].startswith("http")] == [
        [f"http{end}", "noopener noreferrer", "_blank"]
        for end in ("://example.com/pixel.png", '://example.com/e"onmouseover="window.hacked=6', "s://example.com/f")
    ]
    assert text.locator(NEVER).count() == 0
    images = text.locator("img").evaluate_all("images => images.map(image => image.getAttribute('src').slice(0, 15))")
    assert images == ["data:image/png;"]
    assert page.evaluate("window.hacked") is None
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(element => element.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]


def test_no_html_could_run_even_if_the_renderer_let_it_through(browser: Browser, server: Server) -> None:
    page = browser.new_page()  # in which Chromium may warn of what it did not run
    page.goto(server.url)

    shown = page.evaluate(SANITIZE, RAW)

    assert [each for each in shown if re.search("evil|style|data:|on[a-z]+=|name=|href=|src=", each)] == []
    assert [page.locator(f"#log :is({NEVER})").count(), page.evaluate("window.hacked")] == [0, None]
    page.close()


def test_markdown_is_rendered_as_it_is_meant_however_it_is_cut(visit: Open, server: Server) -> None:
    document = "\n\n".join(CASES)

    shown = visit(server).evaluate(RENDER, [[*CASES, document], [1, 2, 3, 7, len(document)]])

    *plain, whole = [{OMITTED.sub("", html) for html in different} for different in shown]
    assert dict(zip(CASES, plain, strict=True)) == {text: {html} for text, html in CASES.items()}
    assert len(whole) == 1


def test_code_and_tables_stay_as_the_user_left_them_while_they_grow(visit: Open, server: Server) -> None:
    page = visit(server, permissions=["clipboard-read", "clipboard-write"])

    assert page.evaluate(GROW, [f"{ROW}\n{'|-' * 30}|\n{ROW}", f"s\n{ROW}"]) == [0, 20, "Measu"]
    for before, indent in {"": "", "- In a list:\n  ": "  "}.items():
        assert page.evaluate(GROW, [f"{before}```python\n{indent}{LINE}", f"\n{indent}  y = 2"]) == [0, 20, "x = 1"]
        page.get_by_role("button", name="Copy", exact=True).click()
        until(lambda: page.evaluate("navigator.clipboard.readText()"), f"{LINE}\n  y = 2".__eq__)
    assert page.evaluate(GROW, [f"```python\n{LINE}\n{'y = 2' * 9}\n" + "x = 1\n" * 3000, "z = 3"]) == [0, 20, "x = 1"]


def test_what_would_block_the_page_stays_plain(visit: Open, server: Server) -> None:
    words, rows, whole = "_a_" * 20_000, "x\n:-:|:-:\n" * 501, "**a** <\n" * 70_000
    code = f"True or {'a' * 200}"

    *shown, [shown_code] = visit(server).evaluate(
        RENDER, [[f"{words}\n*b*\n\n**c**", rows, whole, f"```python\n{code}\n```"], [1_000_000]]
    )

    plain = [f"<p>{text.strip().replace('<', '&lt;')}</p>".replace("\n", "<br>") for text in (rows, whole)]
    assert shown == [[f"<p>{words}<br>*b*</p><p><strong>c</strong></p>"], *([html] for html in plain)]
    assert OMITTED.sub("", shown_code) == f"<pre><code>{code}</code></pre>"


def test_no_text_blocks_the_page(visit: Open, server: Server) -> None:
    page = visit(server)

    for text in REPEATED:
        try:
            with page.expect_console_message(lambda message: message.text == "rendered"):
                page.evaluate(START, [[text * (10_000 // len(text))], [5000]])
        except NeverRendered:
            pytest.fail(f"{text!r} blocks the page when it is repeated")
