import numpy as np

from bench.assets import MOBILENET_V2, SELDNET, SELDNET_INPUT, SELDNET_OUTPUT, load_asset
from bench.peer_features import salsa_lite


def test_the_yardstick_is_int8_and_alive():
    net = load_asset(MOBILENET_V2)
    assert net.input_shapes == {"image": (224, 224, 3)}
    assert net.output_shapes == {"scores": (1000,)}
    assert set(net.tensor_types()) == {"int8", "int32"}
    random = np.random.default_rng(0)
    scores = [net(image=random.uniform(-1.0, 1.0, (224, 224, 3)).astype(np.float32))["scores"] for _ in range(2)]
    assert not np.array_equal(*scores)


def test_the_net_of_the_recipe_takes_the_features_of_a_window():
    net = load_asset(SELDNET)
    assert net.input_shapes == {"features": SELDNET_INPUT}
    assert net.output_shapes == {"accdoa": SELDNET_OUTPUT}
    assert "int8" not in net.tensor_types()
    window = np.random.default_rng(0).normal(0.0, 0.1, (48_000, 4)).astype(np.float32)
    assert np.isfinite(net(features=salsa_lite(window)[: SELDNET_INPUT[0]])["accdoa"]).all()
