"""The one way to divide an integer: by largest remainder, with exact rationals."""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm


def apportion(total: int, weights: Sequence[int | Fraction]) -> list[int]:
    """
    Divide *total* in proportion to *weights*, exactly.

    Every part is the floor or the ceiling of its fair share and the parts sum to *total*.
    Units left over go to the largest remainders, ties to the earlier claimant.
    Nothing divided over nothing is nothing.

    Args:
        total: What is divided, in whole units (nanoseconds, nano-dollars); 0 or more.

        weights: One rational of 0 or more per claimant.

    Raises:
        ValueError: *total* or a weight is negative, or there is something to divide and no weight.
    """
    if total < 0 or any(weight < 0 for weight in weights):
        raise ValueError(f"can not divide {total} over {list(weights)}: negative")
    whole: int | Fraction = sum(weights)
    if whole == 0:
        if total:
            raise ValueError(f"can not divide {total} over nothing")
        return [0] * len(weights)
    claims = _as_integers(weights)
    whole = sum(claims)
    parts = [total * claim // whole for claim in claims]
    left = total - sum(parts)
    if left:
        by_remainder = sorted(range(len(claims)), key=lambda i: -(total * claims[i] % whole))
        for i in by_remainder[:left]:
            parts[i] += 1
    return parts


def _as_integers(weights: Sequence[int | Fraction]) -> list[int]:
    scale = lcm(*(weight.denominator for weight in weights))
    return [weight.numerator * (scale // weight.denominator) for weight in weights]
