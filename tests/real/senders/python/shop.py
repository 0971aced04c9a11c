"""A shop for Python with Flask and requests; its spans come from `opentelemetry-instrument` alone. See ../README.md."""

import sys

import flask
import requests

port, *peers = sys.argv[1:]
app = flask.Flask("shop")

if peers:
    stock, third_party = peers

    @app.get("/item/<id>")
    def item(id):
        requests.get(f"{stock}/stock/{id}", timeout=10)
        requests.get(f"{third_party}/charge", timeout=10)
        return {}
else:

    @app.get("/stock/<id>")
    def stock(id):
        return {"id": id}


app.run("127.0.0.1", int(port), threaded=True)
