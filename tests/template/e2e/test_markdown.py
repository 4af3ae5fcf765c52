"""Markdown in the answers of a model, as the playground renders it in a real Chromium."""

import re

import pytest
from playwright.sync_api import TimeoutError as NeverRendered
from playwright.sync_api import expect

from tests.conftest import until
from tests.template.e2e.conftest import CHROMIUM, Open, ask
from tests.template.e2e.server import Server

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

HOSTILE = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2">

[a](javascript:window.hacked=3) [b](JaVaScRiPt:window.hacked=4) [c](data:text/html,<script>window.hacked=5</script>)
![d](http://example.com/pixel.png) <http://example.com/e"onmouseover="window.hacked=6> [f](https://example.com/f)
<iframe srcdoc="<script>parent.hacked = 7</script>"></iframe> <svg onload=window.hacked=8>

```html"><script>window.hacked = 9</script>
</code></pre><script>window.hacked = 10</script>
```

&lt;script&gt;window.hacked = 13&lt;/script&gt; <br onclick="window.hacked = 14">

| <img src=x onerror=window.hacked=11> | b |
|---|---|
| <b>bold</b> | [g](vbscript:window.hacked=12) |"""

TABLE = (
    '<div class="table"><table><thead><tr><th class="left">a</th><th class="right">b</th></tr></thead>'
    '<tbody><tr><td class="left">1<br>2</td><td class="right"><a href="https://b/3">3</a></td></tr></tbody></table></div>'
)
BLOCKS = {  # source: HTML, without captions and the attributes that are the same everywhere
    "# C#\n## C ##": "<h3>C#</h3><h4>C</h4>",
    "One\n===\nTwo\n---\nThree": "<h3>One</h3><h4>Two</h4><p>Three</p>",
    "Text\r\nof **bold *and slanted* words**\\\n&lt;\n=====": (
        "<h3>Text<br>of <strong>bold <em>and slanted</em> words</strong><br>&lt;</h3>"
    ),
    "One\n\n---\n- a\n---": "<p>One</p><hr><ul><li>a</li></ul><hr>",
    "> quoted\n> # more\n\nEnd": "<blockquote><p>quoted</p><h3>more</h3></blockquote><p>End</p>",
    "- one\n  - nested\n- two\n\n3. three\n4. four": (
        '<ul><li>one<ul><li>nested</li></ul></li><li>two</li></ul><ol start="3"><li>three</li><li>four</li></ol>'
    ),
    "- a\n\n\n- b\n\n\n  c\n\nd": "<ul><li>a</li><li><p>b</p><p>c</p></li></ul><p>d</p>",
    "So:\n1. a\n2. b": "<p>So:</p><ol><li>a</li><li>b</li></ol>",
    "So:\n- a": "<p>So:</p><ul><li>a</li></ul>",
    "It came out in\n1984. It sold.": "<p>It came out in<br>1984. It sold.</p>",
    "1. a\n\n   ```\n   b\n\n\n   c\n   ```\n\n2. d": "<ol><li>a<pre><code>b\n\n\nc</code></pre></li><li>d</li></ol>",
    "1. a\n\n\n2. b\n-\tc\n-\td": "<ol><li>a</li><li>b</li></ol><ul><li>c</li><li>d</li></ul>",
    "- x\n\n    ```\n    a\n    ```": "<ul><li>x<pre><code>a</code></pre></li></ul>",
    "~~~\nfenced <b>\n~~~\n\nEnd": "<pre><code>fenced &lt;b&gt;</code></pre><p>End</p>",
    "   ```\n   a\n     b\n  c\n   ```": "<pre><code>a\n  b\nc</code></pre>",
    "a\r\nb\r\n\r\n```\r\nc\r\n```": "<p>a<br>b</p><pre><code>c</code></pre>",
    "| a | b |\r\n|---|--:|\r\n| 1<br>2 | [3](https://b/3) |\r\n\r\nEnd": f"{TABLE}<p>End</p>",
}
WORDS = {  # source: the HTML of a paragraph
    "**bold**, *slanted*, `a`, ~~gone~~": "<strong>bold</strong>, <em>slanted</em>, <code>a</code>, <del>gone</del>",
    "snake_case_words, 2 * 3 * 4\nand <b>it</b>": "snake_case_words, 2 * 3 * 4<br>and &lt;b&gt;it&lt;/b&gt;",
    "***a b***": "<em><strong>a b</strong></em>",
    "**a *b***": "<strong>a <em>b</em></strong>",
    "***a* b** and ***a** b*": "<strong><em>a</em> b</strong> and <em><strong>a</strong> b</em>",
    "*a **b** c*": "<em>a <strong>b</strong> c</em>",
    "___a___": "<strong><em>a</em></strong>",
    "*args and `*kwargs`": "*args and <code>*kwargs</code>",
    "**kwargs in `f(**x)`": "**kwargs in <code>f(**x)</code>",
    r"**a \** b**": "<strong>a ** b</strong>",
    "&lt;b&gt; &amp;lt; &quot;&#39;": "&lt;b&gt; &amp;lt; \"'",
    "`&lt;` a&nbsp;b": "<code>&amp;lt;</code> a&nbsp;b",
    "a<br>b<br/>c<BR />d\\\ne": "a<br>b<br>c<br>d<br>e",
    "https://a.b/c_(d), (https://a.b) https://a.b.": (
        '<a href="https://a.b/c_(d)">https://a.b/c_(d)</a>, (<a href="https://a.b">https://a.b</a>)'
        ' <a href="https://a.b">https://a.b</a>.'
    ),
    "[https://a](https://b)": '<a href="https://b">https://a</a>',
    "[![a](https://a/b.png) **https://c**](https://d)": '<a href="https://d">image: a <strong>https://c</strong></a>',
}
CASES = BLOCKS | {text: f"<p>{html}</p>" for text, html in WORDS.items()}
OMITTED = re.compile(r'<figcaption>.*?</figcaption>|</?figure>| start="1"| (tabindex|target|rel)="[^"]*"')

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
        return root.innerHTML;
    };
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
    *["- a\n\n\n", "a\n==", "- \n\r\n"],
]


def test_nothing_in_an_answer_runs(visit: Open, server: Server) -> None:
    page = visit(server)

    answer = ask(page, "echo-function", HOSTILE)

    expect(answer).to_contain_text("Retry")
    text = answer.locator(".text")
    expect(text).to_contain_text("<script>window.hacked = 1</script>")
    expect(text).to_contain_text("<b>bold</b>")
    assert text.locator("script, img, iframe, svg, style, object, embed, form").count() == 0
    assert text.locator("a").evaluate_all("links => links.map(link => [link.getAttribute('href'), link.rel])") == [
        ["http://example.com/pixel.png", "noopener noreferrer"],
        ["http://example.com/e", "noopener noreferrer"],
        ["https://example.com/f", "noopener noreferrer"],
    ]
    assert page.evaluate("window.hacked") is None
    attributes = page.evaluate("[...document.querySelectorAll('*')].flatMap(element => element.getAttributeNames())")
    assert not [name for name in attributes if name.startswith("on")]


def test_markdown_is_rendered_as_it_is_meant_however_it_is_cut(visit: Open, server: Server) -> None:
    document = "\n\n".join(CASES)

    *shown, whole = visit(server).evaluate(RENDER, [[*CASES, document], [1, 2, 3, 7, len(document)]])

    plain = [[OMITTED.sub("", html) for html in different] for different in shown]
    assert dict(zip(CASES, plain, strict=True)) == {text: [html] for text, html in CASES.items()}
    assert len(whole) == 1


def test_code_and_tables_stay_as_the_user_left_them_while_they_grow(visit: Open, server: Server) -> None:
    page = visit(server, permissions=["clipboard-read", "clipboard-write"])

    assert page.evaluate(GROW, [f"{ROW}\n{'|-' * 30}|\n{ROW}", f"s\n{ROW}"]) == [0, 20, "Measu"]
    for before, indent in {"": "  ", "- In a list:\n  ": ""}.items():
        assert page.evaluate(GROW, [f"{before}```python\n{LINE}", "\n  y = 2"]) == [0, 20, "x = 1"]
        page.get_by_role("button", name="Copy", exact=True).click()
        until(lambda: page.evaluate("navigator.clipboard.readText()"), f"{LINE}\n{indent}y = 2".__eq__)


def test_no_text_blocks_the_page(visit: Open, server: Server) -> None:
    page = visit(server)

    for text in REPEATED:
        try:
            with page.expect_console_message(lambda message: message.text == "rendered"):
                page.evaluate(START, [[text * (20_000 // len(text))], [10_000]])
        except NeverRendered:
            pytest.fail(f"{text!r} blocks the page when it is repeated")
