"""The tables of figures in README.md and docs, made from the committed result files: no number is typed by hand.

    python -m tdnet_bench.published     # makes every block `<!-- results:NAME -->` anew

`results.py` reads the files, `pages.py` finds the blocks and knows what each is called; tables are in `*_table(s).py`.
"""
