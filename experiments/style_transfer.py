"""Can a picture take on the style of another with features learned on the spot, without a network from elsewhere?

    python experiments/style_transfer.py [content=PATH] [style=PATH] [out=PATH] [size=256] [way=optimize] ...

way: optimize, or feed_forward (a network trained on crops); features: learned, or efficientnet_lite0 (19 MB, fetched).
Looks at: the losses of content and style before and after, and the picture itself.
Time on 2 cores: 2 to 3 minutes with other work beside it, 1.5 times as long and more with pretrained features.
Found: docs/findings.md
"""

from typing import Annotated, Literal

import deepprinciples as dp


@dp.experiment()
def main(
    *,
    content: str = "",
    style: str = "",
    out: Annotated[str, dp.style.refusals] = "",
    size: Annotated[int, dp.types.Range("[32, 640]")] = 256,  # pixels of the longer side
    steps: Annotated[int, dp.types.Range("[1, 10000]")] = 150,
    feature_steps: Annotated[int, dp.types.Range("[1, 10000]")] = 300,
    way: Literal["optimize", "feed_forward"] = "optimize",
    features: Literal["learned", "efficientnet_lite0"] = "learned",
):
    """Paint one picture; without pictures of one's own, of the two that scikit-learn carries."""
    pictures = dp.style.load(content, style, size=size)
    options = {"way": way, "steps": steps, "features": features, "feature_steps": feature_steps, "tell": print}
    painted = dp.style.transfer(pictures, **options)
    for when, losses in painted.losses.items():
        yield f"{when:>9}: " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
    path = dp.style.save(painted.picture, out)
    yield f"Picture: {path}"
    return path


if __name__ == "__main__":
    main()
