"""A list of tunings, each begun where the last one ended: `fewtune stages`, from end to end and without a screen."""

from fewtune.staging.plan import Plan, Stage, read_plan
from fewtune.staging.run import run_stages

__all__ = ["Plan", "Stage", "read_plan", "run_stages"]
