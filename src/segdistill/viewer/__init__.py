"""A page on which the cases of a run are looked at: slices, a 3-D view, reference, answers and where they differ.

`cases.py` finds what there is to show, `volumes.py` turns it into files for a browser, `page.py` writes the page,
`server.py` serves it to this computer alone and `static.py` writes it as a folder. NiiVue draws; `make viewer` fetches
it into vendor/ (tools/vendor_niivue.py).
"""
