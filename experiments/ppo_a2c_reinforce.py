"""What does PPO add to A2C, and A2C to REINFORCE?

    python experiments/ppo_a2c_reinforce.py [PATH=VALUE ...]

Varies: sixteen clipped updates of each rollout or one, and a critic's values in the advantages or the returns alone;
every arm tunes its learning rate with the same number of trials, and sees as many steps of CartPole.
Looks at: returns of fresh episodes at the end, the probability that a run of one is better than a run of the other, and
the curves.
Time on 2 cores: 6 minutes.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("ppo_a2c_reinforce.toml")
def main(run):
    """Set the probability of improvement over A2C beside the returns."""
    scores = run.results.score
    for row in run.summary["arms"]:
        own = scores.sel(arm=row["name"]).values[:, None]
        middle = dp.stats.stratified_bootstrap(own)
        better = dp.stats.probability_of_improvement(own, scores.sel(arm="a2c").values[:, None])
        curve = " ".join(f"{v:.0f}" for v in run.results.validation.sel(arm=row["name"]).median("seed").values)
        yield f"{row['name']:>10}: interquartile mean {middle.value:.0f} [{middle.low:.0f}, {middle.high:.0f}]"
        yield f"{'':>10}  better than a2c with probability {better.value:.2f} [{better.low:.2f}, {better.high:.2f}]"
        yield f"{'':>10}  curve {curve}"


if __name__ == "__main__":
    main()
