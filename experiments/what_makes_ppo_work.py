"""Which of the details that PPO is usually written with does CartPole need?

    python experiments/what_makes_ppo_work.py [PATH=VALUE ...]

Varies: one detail of PPO at a time: normalized advantages, the clip of the ratio and of the values, the small last
layer of the actor, the entropy, Adam's epsilon, the clip of the norm, the falling rate, tanh; every arm tunes its
learning rate with the same number of trials.
Looks at: returns of fresh episodes at the end, their interquartile mean, and how many steps of the environment it takes
to a mean return of 195.
Time on 2 cores: 15 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("what_makes_ppo_work.toml")
def main(run):
    """Set how soon an arm balances the pole beside what it ends with."""
    each = int(run.results.environment_steps[0] / run.results.eval_step[0])
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        middle = dp.stats.stratified_bootstrap(found.score.values[:, None])
        soon = dp.stats.steps_to(found.validation, 195.0).fillna(float("inf")) * each
        yield f"{row['name']:>14}: interquartile mean {middle.value:.0f} [{middle.low:.0f}, {middle.high:.0f}]"
        yield f"{'':>14}  half of the seeds balance by step {float(soon.median()):,.0f}"


if __name__ == "__main__":
    main()
