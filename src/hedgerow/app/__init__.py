"""A local web page in which a photo opens into its forest.

In: photos, results of a run, or what is dropped on the page. Out: a page on 127.0.0.1; forests, names and look-alikes
that it asks for.

The rooms: serve.py (from a command to a listening server, and its end), routes.py (what is asked and answered),
guard.py (who may ask at all), policy.py (the page, and what a browser lets it do), album.py (which photos there are,
and what is kept of them), jobs.py (one thing after the other, and no more waiting than is bounded), workshop.py (the
process that opens photos of strangers), tasks.py and alike.py (what is done in it), page/index.html (the page: one
file, no build step).

A photo is decoded in the workshop alone. What lies in memory here is a few hundred bytes a photo; pictures and forests
lie in a folder of our own that goes when the server ends.
"""
