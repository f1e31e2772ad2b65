"""How many steps an optimizer takes down two known functions, and at which learning rate; its card names them.

The parabola has 15 weights and curvatures from 0.2 to 2. Rosenbrock's function, mean (1 - x)^2 + 100 (y - x^2)^2 from
x = -1.2, y = 1, is a curved valley, a thousand times as steep across as along. Other hyper-parameters have their
defaults. `tests/contract/test_optimizers_descend.py` holds the numbers.
"""

from __future__ import annotations

# optimizer: (learning rate, steps) on the parabola and on Rosenbrock's function, until the loss is a thousandth.
DESCENTS = {
    "sgd": ((0.3, 16), (0.0032, 2836)),
    "polyak_sgd": ((3.2, 6), (3.2, 114)),
    "adam": ((0.32, 50), (1.0, 177)),
    "adamw": ((0.32, 50), (1.0, 178)),
    "amsgrad": ((0.32, 35), (1.0, 474)),
    "nadam": ((1.0, 14), (1.0, 147)),
    "nadamw": ((1.0, 14), (1.0, 148)),
    "adamax": ((0.32, 35), (1.0, 527)),
    "adamaxw": ((0.32, 35), (1.0, 553)),
    "adabelief": ((0.32, 47), (1.0, 187)),
    "adadelta": ((3.2, 239), (0.1, 2739)),
    "adafactor": ((1.0, 17), (0.01, 3031)),
    "adagrad": ((1.0, 6), (1.0, 1313)),
    "adan": ((1.0, 17), (1.0, 39)),
    "ademamix": ((0.32, 50), (1.0, 171)),
    "simplified_ademamix": ((3e-05, 942), (0.03, 179)),
    "adopt": ((1.0, 53), (3.2, 88)),
    "acprop": ((0.32, 29), (0.032, 955)),
    "lamb": ((0.32, 42), (0.032, 736)),
    "lars": ((3.2, 82), (3.2, 484)),
    "lion": ((0.032, 141), (0.01, 264)),
    "madgrad": ((3.2, 39), (0.32, 62)),
    "muon": ((0.1, 76), (0.1, 65)),
    "novograd": ((0.1, 39), (0.03, 76)),
    "radam": ((0.3, 34), (0.0032, 4018)),
    "rmsprop": ((0.32, 5), (0.01, 1743)),
    "rprop": ((0.32, 10), (0.032, 544)),
    "sign_sgd": ((0.032, 65), (0.00032, 7715)),
    "signum": ((0.032, 67), (0.01, 348)),
    "sm3": ((0.32, 66), (3.2, 302)),
    "yogi": ((0.32, 50), (1.0, 182)),
    "fromage": ((1.0, 4), (0.032, 974)),
    "optimistic_gradient_descent": ((0.32, 31), (0.001, 9101)),
    "optimistic_adam": ((1.0, 13), (1.0, 16)),
    "cocob": ((0.0001, 34), (0.0001, 3489)),
    "dog": ((3.2, 25), (1.0, 4352)),
    "dowg": ((1.0, 18), (0.32, 1327)),
    "prodigy": ((3.2, 70), (0.3, 417)),
    "dadapt_adamw": ((1.0, 69), (3.2, 157)),
    "momo": ((0.32, 91), (0.1, 113)),
    "momo_adam": ((1.0, 71), (1.0, 94)),
    "cautious_adamw": ((0.3, 17), (0.1, 356)),
    "cautious_lion": ((0.01, 97), (0.01, 321)),
    "cautious_sgd": ((0.3, 17), (0.002, 410)),
    "proximal_sgd": ((0.3, 16), (0.0032, 2839)),
    "projected_sgd": ((0.3, 16), (0.0032, 2836)),
    "adam_l2": ((0.32, 50), (1.0, 177)),
    "shampoo": ((3.2, 54), (3.2, 449)),
    "soap": ((0.1, 118), (0.32, 131)),
}
