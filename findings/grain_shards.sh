#!/usr/bin/env bash
# Grain's IndexSampler never reads some records of shards of unequal length.
#
# Packages:  grain==0.2.18 numpy==2.4.6
# Guess:     with drop_remainder=False, which is the default, the shards of 11 records hold 3,
#            3, 3 and 2 of them (the documentation: the remainder goes to the first shards). So
#            one epoch of all shards reads each record once.
# Behaviour: the shards are cut that way, but each of them, long or short, is read for 11 // 4 = 2
#            steps. Three records of 11 are never read; without shuffling they are the same
#            ones each time. With num_epochs=2 each shard is read for five steps: the short one
#            gives a record three times, the others give one only once. So an evaluation on
#            several processes leaves records out, and no warning says so. With
#            drop_remainder=True, which leaves out as many, one does.
# Seen:      11 records, 4 shards
#              1 epoch:           0 1 | 3 4 | 6 7 | 9 10, without 2 5 8
#              1 epoch, shuffled: 0 2 | 3 5 | 6 8 | 9 10, without 1 4 7
#              2 epochs:          0 1 2 0 1 | 3 4 5 3 4 | 6 7 8 6 7 | 9 10 9 10 9
#            10 records, 3 shards
#              1 epoch:           0 1 2 | 4 5 6 | 7 8 9, without 3
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet grain==0.2.18 numpy==2.4.6
env/bin/python - <<'PYTHON' 2>log.txt || { code=$?; tail -n 5 log.txt >&2; exit "$code"; }
import grain


def read(records, shards, epochs, shuffle=False):
    """The records that each shard gives."""
    for number in range(shards):
        sampler = grain.samplers.IndexSampler(
            records, grain.sharding.ShardOptions(number, shards, drop_remainder=False),
            shuffle=shuffle, num_epochs=epochs, seed=0,
        )
        source = grain.sources.RangeDataSource(0, records, 1)
        yield [int(record) for record in grain.DataLoader(data_source=source, sampler=sampler)]


def show(records, shards, name, epochs=1, **options):
    shown = list(read(records, shards, epochs, **options))
    missing = sorted(set(range(records)) - {record for shard in shown for record in shard})
    text = " | ".join(" ".join(map(str, shard)) for shard in shown)
    without = f", without {' '.join(map(str, missing))}" if missing else ""
    print(f"  {name + ':':18}", text + without)
    return missing


print("11 records, 4 shards")
missing = show(11, 4, "1 epoch")
shuffled = show(11, 4, "1 epoch, shuffled", shuffle=True)
show(11, 4, "2 epochs", epochs=2)
print("10 records, 3 shards")
missing_10 = show(10, 3, "1 epoch")
raise SystemExit(not (missing == [2, 5, 8] and len(shuffled) == 3 and missing_10 == [3]))
PYTHON
