"""Judges a report of the Autobahn cases: `judge.py INDEX.json LEAST`.

Exits with 1 when a case failed, or fewer than LEAST ran. NON-STRICT is no failure where it says that an error was noticed a
little later than it could have been: cases 3 (reserved bits), 4 (opcodes), 6.4 (UTF-8, fail fast). INFORMATIONAL cases judge nothing.
"""

import json
import sys


def allowed(case: str, behaviour: str) -> bool:
    lenient = case.startswith(("3.", "4.", "6.4."))
    return behaviour in ("OK", "INFORMATIONAL") or (behaviour == "NON-STRICT" and lenient)


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        ((_, cases),) = json.load(file).items()
    failed = {
        case: (result["behavior"], result["behaviorClose"])
        for case, result in cases.items()
        if not (allowed(case, result["behavior"]) and allowed(case, result["behaviorClose"]))
    }
    for case, (behaviour, close) in failed.items():
        print(f"case {case}: {behaviour}, close {close}: {cases[case]['reportfile']}")
    lenient = sum(result["behavior"] == "NON-STRICT" for result in cases.values())
    least = int(sys.argv[2])
    if len(cases) < least:
        print(f"only {len(cases)} cases ran, {least} were expected")
        return 1
    print(f"{lenient} of the passed were NON-STRICT, where that is allowed")
    print(f"autobahn: {len(cases) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
