"""Trains small models with LightGBM and writes down its predictions and contributions, bit for bit.

Usage: python3 tests/python/lightgbm_golden.py [FOLDER]

That is all: the script makes itself a virtual environment of tests/python/requirements-lightgbm.txt (Python 3.11, under
~/.cache/tillstream) and goes on in it. It writes FOLDER (default: tests/data/lightgbm), three files a model:

NAME.txt           the model as LightGBM saves it
NAME_rows.csv      a row a line: the bits of its features as hexadecimal digits
NAME_answers.csv   a row a line: the bits of raw score, prediction, then of each feature's contribution and the base

Where FOLDER/written holds a model as the Rust writer wrote it, LightGBM must load it and give the same bits.
Same versions, same files, byte for byte, on Linux with x86-64 and glibc.
"""

import hashlib
import os
import struct
import subprocess
import sys
from math import inf, nan
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
REQUIREMENTS = HERE / "requirements-lightgbm.txt"
# Set in the process that runs in the environment.
INSIDE = "TILL_LIGHTGBM_ENVIRONMENT"

# LightGBM's zero: values of at most this size are 0 to it (kZeroThreshold, a float made a double).
ZERO = struct.unpack("f", struct.pack("f", 1e-35))[0]
TRAINED_ROWS = 1_500
ANSWERED_ROWS = 40


def environment():
    """The interpreter of the environment, which is made where it is missing; a half-made one never gets the name."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "tillstream" / f"venv-lightgbm-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        (folder / "complete").touch()
    return python


def payments(seed, missing):
    """Rows of six features, which `missing` share of the values lacks, with what the model is to learn of each."""
    random = Random(seed)
    rows, risks = [], []
    for _ in range(TRAINED_ROWS):
        spent = round(random.lognormvariate(3, 1), 2)
        cards = float(random.randrange(12))
        speed = random.choice([0.0, 0.0, random.uniform(0, 900)])
        drift = random.gauss(0, 1)
        category = float(random.randrange(40))
        flag = float(random.random() < 0.3)
        row = [spent, cards, speed, drift, category, flag]
        risk = 0.01 * spent + 0.3 * cards - 0.8 * drift + (2.0 if category % 7 in (1, 3) else 0.0) + 0.002 * speed * flag
        rows.append([nan if random.random() < missing else value for value in row])
        risks.append(risk + random.gauss(0, 0.7))
    return rows, risks


NAMES = ["spent", "cards_5m", "speed_kmh", "drift", "category", "contactless"]

# name: share of values missing in training, parameters, categorical features
MODELS = {
    "binary_nan": (0.15, {"objective": "binary", "sigmoid": 1.0}, []),
    "binary_none": (0.0, {"objective": "binary", "sigmoid": 0.7}, []),
    "binary_zero": (0.15, {"objective": "binary", "zero_as_missing": True}, []),
    "binary_categories": (0.1, {"objective": "binary", "max_cat_to_onehot": 1, "min_data_per_group": 5}, [1, 4, 5]),
    "categories_none": (0.0, {"objective": "binary", "max_cat_to_onehot": 1, "min_data_per_group": 5}, [1, 4, 5]),
    "regression": (0.15, {"objective": "regression", "use_missing": False}, []),
    "constant": (0.0, {"objective": "binary", "min_data_in_leaf": TRAINED_ROWS}, []),
}


def train(number, name):
    import lightgbm
    import numpy

    missing, parameters, categorical = MODELS[name]
    rows, risks = payments(number, missing)
    middle = sorted(risks)[TRAINED_ROWS * 3 // 4]
    labels = risks if name == "regression" else [float(risk > middle) for risk in risks]
    fixed = {"num_leaves": 12, "learning_rate": 0.2, "max_bin": 63, "min_data_in_leaf": 10, "seed": 7, "verbose": -1}
    single = {"deterministic": True, "force_row_wise": True, "num_threads": 1}
    data = lightgbm.Dataset(
        numpy.array(rows), numpy.array(labels), feature_name=NAMES, categorical_feature=categorical, params=fixed
    )
    booster = lightgbm.train(fixed | single | parameters, data, 3 if name == "constant" else 6)
    return booster, rows


def thresholds(booster):
    """Every threshold of the model as (feature, threshold)."""
    found = []

    def descend(node):
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.append((node["split_feature"], node["threshold"]))
            descend(node["left_child"])
            descend(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        descend(tree["tree_structure"])
    return found


def questions(number, booster, rows):
    """Rows of the training, rows on thresholds, and values that no training has seen."""
    random = Random(1_000 + number)
    asked = rows[: ANSWERED_ROWS // 4]
    strange = [nan, 0.0, -0.0, inf, -inf, ZERO, -ZERO, ZERO / 3, -ZERO / 3, 5e-324, 1e300, -0.5, -1.0, 3.99, 41.0, 63.0, 1e10]
    asked += [[value] * len(NAMES) for value in strange]
    splits = thresholds(booster) or [(0, 0.0)]
    while len(asked) < ANSWERED_ROWS:
        row = list(random.choice(rows))
        for feature, threshold in random.sample(splits, min(3, len(splits))):
            row[feature] = threshold
        if random.random() < 0.5:
            row[random.randrange(len(NAMES))] = random.choice(strange)
        asked.append(row)
    return asked


def bits(values):
    return ",".join(struct.pack(">d", value).hex() for value in values)


def answers(model, rows):
    import lightgbm
    import numpy

    rows = numpy.array(rows)
    booster = lightgbm.Booster(model_str=model)
    raw, score = booster.predict(rows, raw_score=True), booster.predict(rows)
    contributions = booster.predict(rows, pred_contrib=True)
    return [bits([raw[row], score[row], *contributions[row]]) for row in range(len(rows))]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(MODELS):
        booster, rows = train(number, name)
        model = booster.model_to_string()
        asked = questions(number, booster, rows)
        told = answers(model, asked)
        (folder / f"{name}.txt").write_text(model)
        (folder / f"{name}_rows.csv").write_text("".join(f"{bits(row)}\n" for row in asked))
        (folder / f"{name}_answers.csv").write_text("".join(f"{line}\n" for line in told))
        written = DATA / "lightgbm" / "written" / f"{name}.txt"
        if written.exists() and answers(written.read_text(), asked) != told:
            sys.exit(f"LightGBM predicts something else from {written}")


if __name__ == "__main__":
    if INSIDE in os.environ:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA / "lightgbm")
    else:
        python = environment()
        os.execve(python, [python, "-B", *sys.argv], os.environ | {INSIDE: "1"})
