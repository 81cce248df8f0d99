"""What the admin port of a gateway says."""
import re

import links


def admin(one, path):
    return links.fetch(f"http://{one.settings['admin']['listen']}{path}")


def metrics(one):
    """{(name, ((label, value), ...)): figure}, parsed strictly."""
    answer = admin(one, "/metrics")
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
    types, figures = {}, {}
    for line in answer.content.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge") and name not in types
            types[name] = kind
        elif line.startswith("#"):
            assert re.match(r"# HELP [a-z0-9_]+ \S", line), line
        else:
            found = re.fullmatch(r'([a-z0-9_]+)'
                                 r'(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)', line)
            assert found, line
            name, labels, value = found.groups()
            assert name in types, line
            assert (types[name] == "counter") == name.endswith("_total"), line
            key = (name, tuple(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or "")))
            assert key not in figures, line
            figures[key] = float(value)
    return figures
