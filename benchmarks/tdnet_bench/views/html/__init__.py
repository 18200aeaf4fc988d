"""A run's document as one HTML page that needs nothing else; see `page.write_page`.

Needs jinja2 and matplotlib (extra: bench). Import `tdnet_bench.views.html.page` only where a page is asked for.
"""
