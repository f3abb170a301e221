"""What hostile text looks like to a terminal, and to a page."""

# ruff: noqa: E501 (a payload reads best on one line)
from __future__ import annotations

# fmt: off
TERMINAL = [
    "\x1b]8;;http://evil.test\x1b\\here\x1b]8;;\x1b\\", "\x1b]8;;http://evil.test\x07x\x1b]8;;\x07",
    "\x1b]52;c;cm0gLXJm\x07", "\x1b]0;title\x07", "\x1b]2;title\x1b\\", "\x1b]4;1;rgb:ff/ff/ff\x07",
    "\x1b]11;?\x07", "\x1b]1337;File=inline=1:eA==\x07", "\x1b]777;notify;a;b\x07", "\x1b]9;x\x07",
    "\x1b[2J", "\x1b[31mred\x1b[0m", "\x1b[1A\x1b[2K", "\x1b[?1049h", "\x1b[?25l", "\x1b[6n", "\x1b[c",
    "\x1b[20t", "\x1b[3;5H", "\x1b[8m hidden", "\x1bc", "\x1b(0lqk", "\x1bPq#0;2;0;0;0\x1b\\",
    "\x1b_Gf=24;AAAA\x1b\\", "\x1b^x\x1b\\", "\x1bX\x1b\\", "\x1b#8", "\x9b31mC1", "\x9d0;title\x9c",
    "\x90q\x9c", "\x85next", "ok\roverwritten", "a\x08\x08\x08b", "\x07\x07", "a\x0bb\x0cc", "a\x7fb",
    "a\x00b", "\x0e\x0f", "abc\u202etxt.exe\u202c", "\u2066x\u2069\u2067y\u2069", "\u200b\u200d\u2060\ufeff",
    "\u2028\u2029", "\U000e0041\U000e007f", "\u061c\u200e\u200f", "[link=http://evil.test]x[/link]",
    "[/x] unbalanced [bold", "[red]x[/red]:smile:", "\\x1b[31m", "\\[bold]", "%s%n{0}{x}",
]
HTML = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=//evil.test>",
    "<a href='javascript:alert(1)'>x</a>", "</script><script>alert(1)</script>", "<!-- x -->", "<![CDATA[x]]>",
    "<?php x ?>", "<style>*{display:none}</style>", "<link rel=stylesheet href=//evil.test>", "<base href=//evil.test>",
    "<meta http-equiv=refresh content='0;url=//evil.test'>", "<object data=//evil.test>", "<embed src=//evil.test>",
    "<form action=//evil.test><input>", "<math><mtext></mtext></math>", "<details open ontoggle=alert(1)>", "<video src=x onerror=alert(1)>",
    "<body onload=alert(1)>", "<table background=//evil.test>", "\"><script>alert(1)</script>", "'><img src=x>", "&lt;script&gt;",
    "&#60;script&#62;", "<scr<script>ipt>", "<SCRIPT>x</SCRIPT>", "<script\n>x</script\n>", "<script/x>", "<\x00script>",
    "[x](javascript:alert(1))", "[x](http://evil.test)", "![x](http://evil.test/p.png)", "[x][1]\n\n[1]: http://evil.test", "<http://evil.test>",
    "http://evil.test", "https://evil.test/?a=b|c", "www.evil.test", "me@evil.test", "mailto:me@evil.test", "xmpp:me@evil.test", "ftp://evil.test",
    "a | b | c", "a \\| b", "\\", "\\\\| x", "`|`", "``x``|", "```\nx\n```", "~~~\nx\n~~~", "---\nlicense: mit\n---", "# heading",
    "\n\n# heading\n\n", "- item\n- item", "> quote", "1. one", "    code", "|---|---|", "*a* _b_ **c**", "[^1]: note", "$\\href{javascript:x}{y}$",
    "<a\tb|c`d>", "\r\n| forged | row |\r\n", "|\n| forged | row |", "{{ 7*7 }}", "{% raw %}", "${7*7}", "&nbsp;|&#124;", "\u202e<b>", "@user #123",
]
# fmt: on
