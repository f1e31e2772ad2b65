"""Does a quantum circuit tell wines apart better than a network of as many weights?

    python experiments/quantum_classifier.py [PATH=VALUE ...]

Varies: a circuit of 4 qubits that reads 13 features again and again, with observables of one qubit or of all; a network
of as many weights; a linear model. Each tunes its learning rate and one number more, with the same number of trials.
Looks at: test accuracy and loss, training loss, weights, and the settings that were chosen.
Time on 2 cores: 3 minutes with other work beside it.
Found: docs/findings.md
"""

import deepprinciples as dp


@dp.experiment("quantum_classifier.toml")
def main(run):
    """Set accuracy, losses and number of weights of each arm beside the settings that it chose."""
    for row in run.summary["arms"]:
        found = run.results.sel(arm=row["name"])
        chosen = ", ".join(f"{path.split('.')[-1]} {value:.2g}" for path, value in row["tuned_point"].items())
        score = dp.stats.with_interval(row, ".3f")
        yield (
            f"{row['name']}: accuracy {score} with {found.parameters:.0f} weights, test loss "
            f"{found.test_loss.mean():.3f}, training loss {found.train_loss.isel(step=-1).mean():.3f}; "
            f"median choice {chosen}"
        )


if __name__ == "__main__":
    main()
