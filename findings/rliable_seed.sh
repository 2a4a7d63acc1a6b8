#!/usr/bin/env bash
# rliable's random_state does not decide the intervals.
#
# Packages:  rliable==1.2.0 arch==7.2.0 pandas==2.3.3
# Guess:     two calls with RandomState(0) give the same intervals, as the argument's
#            description says.
# Behaviour: they differ: the draws come from NumPy's global generator, and only
#            numpy.random.seed decides them. (With pandas 3 the import fails.)
# Seen:      RandomState(0) twice: equal False
#            numpy.random.seed(0) before both: equal True, whatever the RandomState
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet rliable==1.2.0 arch==7.2.0 pandas==2.3.3
env/bin/python - <<'PYTHON'
import warnings

import numpy as np
from rliable import library, metrics

warnings.simplefilter("ignore")
scores = {"agent": np.random.default_rng(0).normal(size=(5, 3))}


def interval(seed):
    return library.get_interval_estimates(
        scores,
        lambda x: np.array([metrics.aggregate_mean(x)]),
        reps=200,
        random_state=np.random.RandomState(seed),
    )[1]["agent"].tolist()


argument = interval(0) == interval(0)
np.random.seed(0)
first = interval(1)
np.random.seed(0)
whole = interval(2) == first
print(f"RandomState(0) twice: equal {argument}")
print(f"numpy.random.seed(0) before both: equal {whole}, whatever the RandomState")
raise SystemExit(argument or not whole)
PYTHON
