"""The PhysioNet sets that the recipes know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from training.errors import BadRecipe


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set on PhysioNet.

    Attributes
    ----------
    name : str
        As recipes call it.
    slug, version : str
        Of its page: physionet.org/content/SLUG/VERSION.
    title, licence, used_for : str
        In words.
    records : int
        How many there are.
    megabytes : int
        About.
    within : str
        Folder of its records below the version.
    annotators : tuple of str
        Extensions of its annotation files.
    table : str
        Name that readers know its table of labels by; empty where annotations are files.
    tables : tuple of str
        Where on PhysioNet that table is, the best first.
    """

    name: str
    slug: str
    version: str
    title: str
    licence: str
    used_for: str
    records: int
    megabytes: int
    within: str = ""
    annotators: tuple[str, ...] = ()
    table: str = ""
    tables: tuple[str, ...] = ()


ODC_BY: Final = "ODC-By 1.0"
DATASETS: Final = {
    one.name: one
    for one in (
        DataSet(
            "mitdb",
            "mitdb",
            "1.0.0",
            "MIT-BIH Arrhythmia Database",
            ODC_BY,
            "beats and rhythms: training, validation and test (DS1, DS2)",
            48,
            100,
            annotators=("atr",),
        ),
        DataSet(
            "vfdb",
            "vfdb",
            "1.0.0",
            "MIT-BIH Malignant Ventricular Ectopy Database",
            ODC_BY,
            "fibrillation, flutter, tachycardia",
            22,
            35,
            annotators=("atr",),
        ),
        DataSet(
            "nstdb",
            "nstdb",
            "1.0.0",
            "MIT-BIH Noise Stress Test Database",
            ODC_BY,
            "noise to train in and to test in",
            15,
            30,
            annotators=("atr",),
        ),
        DataSet(
            "cinc2015",
            "challenge-2015",
            "1.0.0",
            "Reducing False Arrhythmia Alarms in the ICU, training set",
            ODC_BY,
            "whether an ICU alarm is true",
            750,
            500,
            within="training",
            table="ALARMS",
            tables=("training/ALARMS", "ALARMS"),
        ),
        DataSet(
            "cinc2017",
            "challenge-2017",
            "1.0.0",
            "AF Classification from a Short Single Lead ECG, training set",
            ODC_BY,
            "atrial fibrillation, other rhythm, noise",
            8528,
            170,
            within="training",
            table="REFERENCE.csv",
            tables=("REFERENCE-v3.csv", "training/REFERENCE-v3.csv", "training/REFERENCE.csv"),
        ),
        DataSet(
            "ludb",
            "ludb",
            "1.0.1",
            "Lobachevsky University Electrocardiography Database",
            ODC_BY,
            "delineation of P, QRS and T",
            200,
            30,
            within="data",
            annotators=("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6"),
        ),
    )
}


def get_dataset(name: str) -> DataSet:
    """A set by its name.

    Raises
    ------
    BadRecipe
        No such set.
    """
    if name not in DATASETS:
        raise BadRecipe(f"no data set {name!r}; there are {', '.join(DATASETS)}")
    return DATASETS[name]
