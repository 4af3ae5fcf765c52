"""What a model says, as Markdown: on the playground, in a real Chromium."""

import re

import pytest
from playwright.sync_api import expect

from tests.template.e2e.chromium import CHROMIUM, Open, ask
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
MARKDOWN = """# Title

Text with **bold**, *slanted*, `code`, ~~gone~~ and snake_case_words.
A second line, and 2 * 3 * 4.

- one
  - nested
- two

3. three
4. four

> quoted

~~~
fenced <b>
~~~

| a | b |
|---|--:|
| 1 | 2 |

---

The end of <b>it</b>"""

GROWING = f"""{MARKDOWN}

Text that\r
has **bold *and slanted* words**\\
and &lt;, and becomes a title
=====

Less of
one
---

1. Save:

   ```python
   import sys


   def f(): ...
   ```


2. Run it
-\tAnd this

| a | b |\r
|---|---|\r
| 1<br>2 | [3](https://example.com/3) |\r
\r
   ```\r
   code\r
   ```\r
End"""
BLOCKS = {
    "1. a\n\n   ```\n   b\n\n\n   c\n   ```\n\n2. d": "<ol><li>a<pre><code>b\n\n\nc</code></pre></li><li>d</li></ol>",
    "- a\n\n\n- b\n\n\n  c\n\nd": "<ul><li>a</li><li><p>b</p><p>c</p></li></ul><p>d</p>",
    "-\ta\n-\tb": "<ul><li>a</li><li>b</li></ul>",
    "   ```\n   a\n     b\n  c\n   ```": "<pre><code>a\n  b\nc</code></pre>",
    "- x\n\n    ```\n    a\n    ```": "<ul><li>x<pre><code>a</code></pre></li></ul>",
    "It came out in\n1984. It sold.": "<p>It came out in<br>1984. It sold.</p>",
    "So:\n1. a\n2. b": "<p>So:</p><ol><li>a</li><li>b</li></ol>",
    "So:\n- a": "<p>So:</p><ul><li>a</li></ul>",
    "# C#\n## C ##": "<h3>C#</h3><h4>C</h4>",
    "One\n===\nTwo\n---\nThree": "<h3>One</h3><h4>Two</h4><p>Three</p>",
    "One\n\n---\n- a\n---": "<p>One</p><hr><ul><li>a</li></ul><hr>",
    "a\r\nb\r\n\r\n```\r\nc\r\n```": "<p>a<br>b</p><pre><code>c</code></pre>",
}
WORDS = {
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

ENDLESS = [
    "*",
    "**a ",
    "_a ",
    "`a``b",
    "[",
    "[a](",
    "[[a]",
    "![a](",
    "> ",
    "~~a ",
    "- ",
    "# ",
    "|-",
    "- a\n",
    "|a|\n|-|\n",
    "http://",
    "http://(a",
    "`",
    "_",
    "# *",
    "***a ",
    "*a **b** ",
    "*a `",
    "# # ",
    "&lt",
    "<br ",
    "\\\n",
    "- a\n\n\n",
    "a\n==",
    "- \n\r\n",
]
RENDER = """async ([text, size]) => {
    const { Markdown } = await import("/static/markdown.js");
    const root = document.createElement("div");
    const markdown = new Markdown(root);
    for (let at = 0; at < text.length; at += size) {
        markdown.append(text.slice(at, at + size));
        markdown.render();
    }
    return root.innerHTML;
}"""
# What is no more in the page, once more of an answer has come; and what was scrolled and selected.
GROW = """async ([text, more]) => {
    const { Markdown } = await import("/static/markdown.js");
    const root = document.createElement("div");
    root.className = "text";
    document.querySelector("#log").append(root);
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


def test_nothing_in_an_answer_runs(visit: Open, shipped: Server) -> None:
    page = visit(shipped)

    answer = ask(page, "echo-stream", HOSTILE)

    expect(answer).to_contain_text("Retry")
    text = answer.locator(".text")
    expect(text).to_contain_text("<script>window.hacked = 1</script>")
    expect(text).to_contain_text("<b>bold</b>")
    assert text.locator("script, img, iframe, svg, style, object, embed, form").count() == 0
    links = text.locator("a")
    assert {link.get_attribute("href") for link in links.all()} == {
        "http://example.com/pixel.png",
        "http://example.com/e",
        "https://example.com/f",
    }
    assert {link.get_attribute("rel") for link in links.all()} == {"noopener noreferrer"}
    assert page.evaluate("window.hacked") is None
    assert page.evaluate(
        "[...document.querySelectorAll('*')].every(e => !e.getAttributeNames().some(n => /^on/.test(n)))"
    )


@pytest.mark.parametrize("model", ["echo", "echo-stream"])
def test_markdown_is_the_same_whether_it_streams_or_not(visit: Open, shipped: Server, model: str) -> None:
    answer = ask(visit(shipped), model, MARKDOWN)

    expect(answer).to_contain_text("Retry")
    text = answer.locator(".text")
    shape = text.evaluate(
        "root => [...root.querySelectorAll('*')].filter(e => !e.closest('figcaption')).map(e => e.tagName).join(' ')"
    )
    assert shape.lower() == (
        "h3 p strong em code del br ul li ul li li ol li li blockquote p figure pre code "
        "div table thead tr th th tbody tr td td hr p"
    )
    assert text.locator("ol").get_attribute("start") == "3"
    expect(text).to_contain_text("snake_case_words")
    expect(text).to_contain_text("2 * 3 * 4")
    expect(text.locator("pre")).to_have_text("fenced <b>")
    expect(text.locator("p").last).to_have_text("The end of <b>it</b>")


def test_markdown_is_the_same_however_it_is_cut(visit: Open, shipped: Server) -> None:
    page = visit(shipped)

    whole, *cut = (page.evaluate(RENDER, [GROWING, size]) for size in (len(GROWING), 1, 2, 3, 7))

    assert cut == [whole] * 4
    assert "<table>" in whole


def test_markdown_is_read_as_it_is_meant(visit: Open, shipped: Server) -> None:
    page = visit(shipped)

    cases = BLOCKS | {text: f"<p>{shown}</p>" for text, shown in WORDS.items()}
    shown = {text: page.evaluate(RENDER, [text, 1]) for text in cases}

    plain = re.compile(r"<figcaption>.*?</figcaption>|</?figure>| (start|tabindex|target|rel)=\"[^\"]*\"")
    assert {text: plain.sub("", html) for text, html in shown.items()} == cases


@pytest.mark.parametrize("before", ["", "- In a list:\n  "])
def test_code_can_be_used_while_it_streams(visit: Open, shipped: Server, before: str) -> None:
    page = visit(shipped, permissions=["clipboard-read", "clipboard-write"])
    line = "x = 1" * 100

    gone, left, selected = page.evaluate(GROW, [f"{before}```python\n{line}", "\n  y = 2"])

    assert (gone, left, selected) == (0, 20, "x = 1")
    page.get_by_role("button", name="Copy", exact=True).click()
    assert page.evaluate("navigator.clipboard.readText()").replace("  ", "") == f"{line}\ny = 2"


def test_a_table_can_be_used_while_it_streams(visit: Open, shipped: Server) -> None:
    page = visit(shipped)
    row = "|Measurement" * 30

    gone, left, selected = page.evaluate(GROW, [f"{row}\n{'|-' * 30}|\n{row}", f"s\n{row}"])

    assert (gone, left, selected) == (0, 20, "Measu")


def test_no_text_holds_the_page(visit: Open, shipped: Server) -> None:
    page = visit(shipped)

    for part in ENDLESS:  # some of which a careless pattern would take minutes for
        assert page.evaluate(RENDER, [part * (20_000 // len(part)), 10_000])
