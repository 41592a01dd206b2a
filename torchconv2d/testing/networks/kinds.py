"""Which types of layers, in which framework, do the same kind of work."""

from __future__ import annotations

from ...interop.frameworks import FRAMEWORKS

_NAMES: dict[str, str] = {
    "convolution": "Conv Conv1D Conv1d Conv2D Conv2d Conv3D Conv3d DepthwiseConv2D "
    "ConvTranspose Conv1DTranspose Conv2DTranspose ConvTranspose1d ConvTranspose2d",
    "dense": "Dense Linear EinsumDense DenseGeneral LinearGeneral",
    "batch norm": "BatchNorm BatchNorm0d BatchNorm1d BatchNorm2d BatchNorm3d BatchNormalization",
    "layer norm": "LayerNorm LayerNormalization",
    "group norm": "GroupNorm GroupNormalization InstanceNorm InstanceNorm2d",
    "RMS norm": "RMSNorm RMSNormalization",
    "activation": "Activation ReLU ReLU6 Relu relu relu6 LeakyReLU leaky_relu PReLU ELU elu SELU "
    "selu CELU celu GELU gelu SiLU silu Swish swish Mish mish Sigmoid sigmoid Tanh tanh Softplus "
    "softplus Softsign softsign Softmax softmax LogSoftmax log_softmax Hardtanh HardTanh "
    "Hardswish hard_swish hard_silu Hardsigmoid hard_sigmoid LogSigmoid log_sigmoid exponential",
    "max pool": "MaxPooling2D MaxPool2d MaxPool",
    "average pool": "AveragePooling2D AvgPool2d AvgPool",
    "global pool": "GlobalAveragePooling2D AdaptiveAvgPool2d AdaptiveAvgPool",
    "global max pool": "GlobalMaxPooling2D AdaptiveMaxPool2d",
    "padding": "ZeroPadding2D ZeroPad2d ConstantPad2d",
    "reshape": "Flatten Reshape Unflatten",
    "dropout": "Dropout Dropout2d SpatialDropout2D",
    "upsampling": "UpSampling2D Upsample UpsamplingNearest2d UpsamplingBilinear2d",
    "identity": "Identity",
}
_KIND_OF = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of(type_name: str) -> str:
    """The kind of a layer by the name of its type; another type is a kind of its own.

    >>> kind_of("Conv2DTranspose"), kind_of("MyLayer")
    ('convolution', 'MyLayer')
    """
    return _KIND_OF.get(type_name, type_name)


def _roles() -> dict[str, set[str]]:
    roles = dict[str, set[str]]()
    for framework in FRAMEWORKS.values():
        scale, offset, mean, variance = framework.norm
        names = {
            "weight": (*framework.weight, *scale),
            "bias": (*framework.bias, *offset),
            "running_mean": mean,
            "running_var": variance,
        }
        # A recorded array has one name. A position says nothing without the layer.
        for role, those in names.items():
            roles.setdefault(role, set()).update(each for each in those if each.isidentifier())
    return roles


# What frameworks call the arrays of a layer, by the names that torch has for them.
ROLES = _roles()
