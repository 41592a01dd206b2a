"""The layer: parameters, mask, bias, batch axis and layout. ``lowerings`` has the arithmetic."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, cast

import torch
from torch import Tensor, nn

from . import arguments, arrays, habits, init, operands, settings, symbolic, usual
from .arguments import InSize, LayerPadding
from .geometry import Geometry
from .layout import in_format_of, kernel_to_weight, weight_to_kernel
from .lowerings import AnySizeLowering, Convolution, Lowering, PerSize, ScriptedConvolution
from .lowerings.traced import checked
from .messages import naming
from .state import AllOrNothing, Kept, read, stored, write
from .typing import ConvPadding, InSizeLike, Ints, ValueLike
from .versions import is_tracing


class Conv2d(AllOrNothing):
    """A two-dimensional convolution as ``brainstate.nn.Conv2d`` documents it.

    A cross-correlation over channels-last input, with JAX's padding. Per axis, with ``ld`` and
    ``rd`` for the dilations::

        dilated = (size - 1) * ld + 1
        out = max(0, (dilated + before + after - (k - 1) * rd - 1) // stride + 1)

    Args:
        in_size: ``(H, W, C)``, or ``(C, H, W)`` with ``channel_first``; without the batch. All
            other shapes follow from it, so the lowering is chosen once, at construction. None for
            H or W accepts any size; then the lowering is chosen for each size that comes.
        out_channels: number of output channels.
        kernel_size: ``(kh, kw)``, or one int for both.
        stride: ``(vertical, horizontal)`` distance between windows, or one int for both.
        padding: ``'SAME'`` (``ceil(dilated / stride)`` outputs; of an odd number of zeros the
            extra one goes after), ``'VALID'`` (none), an int (all four sides), ``(p_h, p_w)``
            (above and below; left and right), or ``[(top, bottom), (left, right)]``; a single pair
            serves both axes. Negative amounts crop the dilated input.
        lhs_dilation: puts ``lhs_dilation - 1`` zeros between neighbours of the input, as a
            transposed convolution of that stride does. String padding uses the dilated size.
        rhs_dilation: puts ``rhs_dilation - 1`` gaps between neighbours of the kernel (atrous).
        groups: splits the channels; must divide the numbers of input and of output channels.
        w_init: the kernel: a callable of ``kernel_shape``, an array of exactly that shape (torch,
            NumPy, JAX, nested lists), or a number, which fills it.
        b_init: the bias: None for no bias; a callable of ``(1, 1, out)`` (channel-first:
            ``(1, out, 1, 1)``); a number; or an array of the shape ``(out,)`` or one that
            broadcasts to the callable's shape.
        w_mask: multiplies the kernel in each forward pass: None, a callable of ``kernel_shape``,
            or an array that broadcasts to it. A buffer; the stored weight stays unmasked.
        channel_first: whether input and output are channel-first.
        name: a name for the user's own use.
        param_type: makes weight and bias from tensors: ``torch.nn.Parameter``, or
            ``torch.nn.Buffer`` for a frozen layer.
        device: as for any ``torch.nn`` layer.
        dtype: a floating or complex type; torch's default if None. The values of ``w_init``,
            ``b_init`` and ``w_mask`` are cast to it.

    Raises:
        TypeError: an argument of a wrong type, a pair of a wrong length, a dilation below 1, a
            Quantity with a unit.
        ValueError: any other wrong value; anything wrong with ``padding`` or ``in_size``.

    Attributes:
        out_size: the result's shape without the batch, in the input's layout; with None where
            ``in_size`` has None.
        kernel_shape: ``(kh, kw, C // groups, out_channels)``.
        weight: ``(out_channels, C // groups, kh, kw)``, torch's own layout, contiguous.
        bias: ``(out_channels,)`` or None.
        w_mask: the mask, of ``kernel_shape``, or None.
        geometry: all sizes in plain integers, see :func:`torchconv2d.geometry.plan`; None for any
            image size: ask ``layer.resized((H, W)).geometry``.
        lowering: how the convolution is computed, chosen from the geometry by
            :func:`torchconv2d.lowerings.choose`.

    The other arguments are attributes of the same name, with pairs as tuples. ``in_channels`` and
    ``channels_last`` are attributes too.

    Example:
        >>> import torch, torchconv2d
        >>> stem = torchconv2d.Conv2d((224, 224, 3), 64, kernel_size=7, stride=2)
        >>> stem(torch.randn(8, 224, 224, 3)).shape
        torch.Size([8, 112, 112, 64])
    """

    if TYPE_CHECKING:  # At run time these would hide from TorchScript that bias or mask is None.
        weight: nn.Parameter
        bias: nn.Parameter | None
        w_mask: Tensor | None
        _scripted: ScriptedConvolution
        _is_one_call: bool

        def __call__(self, x: Tensor) -> Tensor: ...

    # Where a test is on one of these constants, TorchScript compiles only the branch that is taken.
    # A script cannot make a new plan, so its settings are constants, which nobody can change.
    __constants__ = ["channels_last", "_is_one_call", *settings.IN_SCRIPTS]
    # TorchScript leaves out these properties.
    __jit_unused_properties__ = ["kernel", "itself", "lowering", "geometry"]

    @habits.explained
    def __init__(
        self,
        in_size: InSizeLike,
        out_channels: SupportsIndex,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: ConvPadding = "SAME",
        lhs_dilation: Ints = 1,
        rhs_dilation: Ints = 1,
        groups: SupportsIndex = 1,
        w_init: ValueLike = init.XavierNormal(),  # noqa: B008  it has no state to share
        b_init: ValueLike | None = None,
        w_mask: ValueLike | None = None,
        channel_first: bool = False,
        name: str | None = None,
        param_type: Callable[[Tensor], Tensor] = nn.Parameter,
        *,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.channel_first = arguments.flag("channel_first", channel_first)
        self.channels_last = not self.channel_first
        self.in_size = arguments.input_size(in_size, self.channel_first)
        self.out_channels = arguments.integer("out_channels", out_channels, 0)
        self.kernel_size = arguments.pair("kernel_size", kernel_size)
        self.stride = arguments.pair("stride", stride)
        self.padding: LayerPadding = cast(Any, arguments.padding(padding))
        self.lhs_dilation = arguments.pair("lhs_dilation", lhs_dilation, below=TypeError)
        self.rhs_dilation = arguments.pair("rhs_dilation", rhs_dilation, below=TypeError)
        self.in_channels = cast(int, self.in_size[0 if self.channel_first else 2])
        self.groups = arguments.groups(groups, self.in_channels, self.out_channels)
        named, plan = settings.named(arguments.layer_name(name)), settings.planned(self)
        self.name, self._of_layer = named["name"], named["_of_layer"]
        out, in_per_group = self.out_channels, self.in_channels // self.groups
        self.kernel_shape = (*self.kernel_size, in_per_group, out)
        self._weight_shape = (out, in_per_group, *self.kernel_size)
        self.w_init = settings.check_init("w_init", w_init)
        self.b_init, self._w_mask = settings.check_init("b_init", b_init), w_mask
        self.out_size: InSize = plan["out_size"]
        self.convolution: Convolution | PerSize = plan["convolution"]
        self._sizes: tuple[int, int, int] = plan["_sizes"]

        dtype = arrays.layer_dtype(dtype)
        weight = torch.empty(self._weight_shape, device=device, dtype=dtype)
        self.weight = cast(nn.Parameter, arrays.as_parameter(param_type, weight))
        if b_init is None:
            self.register_parameter("bias", None)
        else:
            self.bias = cast(nn.Parameter, arrays.as_parameter(param_type, weight.new_empty(out)))
        mask = None if w_mask is None else weight.new_empty(self.kernel_shape)
        self.register_buffer("w_mask", mask)
        self.reset_parameters()

    @property
    def kernel(self) -> Tensor:
        """The weight in the documented layout, ``(kh, kw, C // groups, out)``; a view."""
        return weight_to_kernel(self.weight)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in settings.NAMES or "convolution" not in self.__dict__:
            super().__setattr__(name, value)
        else:
            # `setattr` would set one attribute after another, and an interrupt between two of them
            # would leave a layer whose plan does not fit its settings. So this is one write.
            self.__dict__.update(settings.change(self, name, value))

    @property
    def itself(self) -> nn.Module:
        """What a ``torch.fx`` graph calls, if that has no name of its own in the network."""
        return symbolic.itself(self, Conv2d.forward)

    @property
    def geometry(self) -> Geometry | None:
        return self.convolution.geometry

    @property
    def lowering(self) -> Lowering | AnySizeLowering:
        return self.convolution.lowering

    def __prepare_scriptable__(self) -> "Conv2d":
        """Called by ``torch.jit.script``, which compiles only registered modules.

        The lowering is a child only from here on, because other tools take a module with a child
        for a container. The child stays on the layer, because torch does not tell when it has
        compiled. This cannot return a copy with the child instead: torch would put the copy into
        the user's network, in place of the layer.
        """
        lowering, in_training = self.convolution.lowerings_in_scripts(self.weight.is_complex())
        self._scripted = ScriptedConvolution(lowering, in_training, self.training)
        self._is_one_call = self.channel_first and lowering.is_one_call and self.w_mask is None
        return self

    def reset_parameters(self) -> None:
        """Fill mask, weight and bias again as at construction, drawing in this order.

        It fills all of them or, if it raises an error, none. On the meta device it checks arrays
        and draws nothing. If they are DTensors, the first process draws, and each process keeps its
        part.

        Raises:
            TypeError, ValueError: an initializer returns something other than an array of
                numbers, or an array that does not fit.
            RuntimeError: one cannot be written: it is expanded, say, or pruning computes it.
        """
        out = self.out_channels
        bias_shape = (1, out, 1, 1) if self.channel_first else (1, 1, out)
        sources = (
            ("w_mask", self._w_mask, self.kernel_shape, self._fit_mask, "w_mask"),
            ("w_init", self.w_init, self.kernel_shape, self._fit_weight, "weight"),
            ("b_init", self.b_init, bias_shape, self._fit_bias, "bias"),
        )
        used = [s for s in sources if s[1] is not None and getattr(self, s[4]) is not None]
        fresh: dict[str, Tensor] = {}
        with naming(self.name):
            for *_, stored_as in used:
                stored(self, stored_as)  # raises if it cannot be written
            # Arrays first, so that a bad array raises before a random number is drawn.
            for name, source, shape, fit, stored_as in sorted(used, key=lambda s: callable(s[1])):
                if callable(source):
                    if getattr(self, stored_as).is_meta:
                        continue
                    source = self._drawn(name, cast(Any, source), shape)
                fresh[stored_as] = fit(name, source)
            write(self, fresh)

    def _drawn(self, name: str, source: Callable[..., Any], shape: tuple[int, ...]) -> Any:
        if isinstance(source, type) and issubclass(source, init.Initializer):
            kind = source.__name__
            raise TypeError(f"`{name}` must be an initializer, got the class: write {kind}().")
        if isinstance(source, init.Initializer):
            return source(shape, dtype=self.weight.dtype, device=self.weight.device)
        return habits.called(name, cast(Any, source), shape)

    def _fit_mask(self, name: str, value: Any) -> Tensor:
        return arrays.broadcast(name, value, self.kernel_shape, self.weight.dtype)

    def _fit_weight(self, name: str, value: Any) -> Tensor:
        return kernel_to_weight(arrays.fill(name, value, self.kernel_shape, self.weight.dtype))

    def _fit_bias(self, name: str, value: Any) -> Tensor:
        axis, out = (1 if self.channel_first else 3), self.out_channels
        return arrays.per_channel(name, value, out, axis, self.weight.dtype)

    def fold_mask(self) -> "Conv2d":
        """Multiply the stored weight by the mask and remove the mask, for export.

        Returns:
            The layer itself.

        Raises:
            ValueError: weight or mask was replaced by one of another shape.
            RuntimeError: the weight cannot be written, as in :meth:`reset_parameters`.
        """
        if self.w_mask is None:
            return self
        weight, mask = read(self, "weight"), kernel_to_weight(read(self, "w_mask"))
        with Kept(self):
            write(self, {"weight": weight * mask.to(weight.dtype)})
            self.w_mask = self._w_mask = None
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x``.

        Args:
            x: ``(B, *in_size)`` or ``in_size``, of the layer's dtype.

        Returns:
            ``(B, *out_size)`` or ``out_size``, contiguous. A channel-first layer returns torch's
            channels-last memory format if the input has it.

        Raises:
            TypeError: ``x`` is not a dense tensor, or has another dtype (unless autocast is on).
            ValueError: ``x`` has another shape, or one that ``padding`` crops by more than there
                is, or is on another device.
        """
        if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            weight, bias, mask = self.weight, self.bias, self.w_mask
            if self._is_one_call and not self.training:
                return self._scripted(x, weight, bias)  # no check: a frozen script is one operator
            operands.check(x, weight, self._sizes, self.channels_last, self._of_layer)
        else:
            found = usual.outputs(self, x)
            if found is not None:
                return found
            if symbolic.is_symbolic(x):
                return symbolic.call(self, x, Conv2d.forward)
            weight, bias, mask = self.weight, self.bias, self.w_mask
            operands.check_call(self, x, weight, bias, mask)
            if is_tracing():
                x = checked(x, list(self._sizes))
        if mask is not None:
            weight = weight * kernel_to_weight(mask).to(weight.dtype)
        batched = x.dim() == 4
        batch = x if batched else x.unsqueeze(0)
        if self.channels_last:
            batch = batch.permute(0, 3, 1, 2)
        if torch.jit.is_scripting():  # pyright: ignore[reportPrivateImportUsage]
            y = self._scripted(batch, weight, bias)
        else:
            y = self.convolution(batch, weight, bias)
            if type(y) is not Tensor:
                arrays.check_shares(y, self._of_layer)
        y = y.permute(0, 2, 3, 1).contiguous() if self.channels_last else in_format_of(batch, y)
        return y if batched else y.squeeze(0)

    def resized(self, size: Sequence[SupportsIndex | None]) -> "Conv2d":
        """A layer of another image size that shares parameters, mask and hooks with this one.

        Args:
            size: ``(H, W)``.

        Raises:
            ValueError: as for ``in_size`` and ``padding`` at construction.

        Example:
            >>> conv = Conv2d((None, None, 3), 8, 3, stride=2)
            >>> fixed = conv.resized((28, 33))
            >>> fixed.out_size, fixed.weight is conv.weight
            ((14, 17, 8), True)
        """
        return settings.resized(self, size)

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)}" for name in ("in_size", "out_size", "kernel_size")]
        for name, default in (
            ("stride", (1, 1)),
            ("padding", "SAME"),
            ("lhs_dilation", (1, 1)),
            ("rhs_dilation", (1, 1)),
            ("groups", 1),
            ("name", None),
        ):
            value = getattr(self, name)
            if value != default:
                shown.append(f"{name}={value!r}")
        shown += [f"{name}=True" for name in ("bias", "w_mask") if getattr(self, name) is not None]
        shown += ["channel_first=True"] if self.channel_first else []
        return ", ".join([*shown, f"lowering={type(self.lowering).__name__}"])
