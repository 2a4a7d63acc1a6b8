#!/usr/bin/env bash
# After restoreState the emulator's memory is the old one, its screen is not.
#
# Packages:  ale-py==0.12.1
# Guess:     restoring a state brings memory and screen back together, as both are
#            read from the same emulator.
# Behaviour: the memory is the restored one at once; the screen stays that of the
#            moment before restoring, until the next action is played. Whoever pairs
#            pictures with what the memory says of them gets pairs that do not fit.
# Seen:      memory restored: True
#            screen of the restored state: False, screen from before restoring: True
#
# Ends with 0 where this is still so, and with another code where it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet ale-py==0.12.1
env/bin/python - <<'PYTHON'
from ale_py import Action, ALEInterface, LoggerMode, roms

ALEInterface.setLoggerMode(LoggerMode.Error)
ale = ALEInterface()
ale.setFloat("repeat_action_probability", 0.0)
ale.loadROM(roms.get_rom_path("ms_pacman"))
ale.reset_game()
for _ in range(300):
    ale.act(Action.NOOP)
state, memory, screen = ale.cloneState(), ale.getRAM(), ale.getScreenRGB()
for _ in range(100):
    ale.act(Action.LEFT)
later = ale.getScreenRGB()
ale.restoreState(state)
same_memory = bool((ale.getRAM() == memory).all())
same_screen = bool((ale.getScreenRGB() == screen).all())
still_later = bool((ale.getScreenRGB() == later).all())
print("memory restored:", same_memory)
print(f"screen of the restored state: {same_screen}, screen from before restoring: {still_later}")
raise SystemExit(not (same_memory and still_later and not same_screen))
PYTHON
