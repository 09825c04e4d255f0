# Shorthands; the README shows each as a plain command.
.PHONY: run test slow lint speed gate gpu

run:
	benchsuite run --methods pca,vae,dcgan,glo

test:
	python -m pytest

slow:
	python -m pytest -m slow

lint:
	ruff check .
	ruff format --check .
	mypy

speed:
	python -m pytest benchmarks/speed --benchmark-enable -q --benchmark-json speed.json
	python benchmarks/speed/ratios.py compare speed.json

gate:
	benchsuite gate --run --baseline benchmarks/baselines/smoke.json

gpu:
	python -m pytest -m gpu -q
	python benchmarks/speed/device_table.py
