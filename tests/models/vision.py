"""timm: one small model of every family; each family is a file of timm.models.

timm imports torchvision for its data loaders.  Where torchvision is absent, or was built for
another torch, empty modules stand in: no model needs it.
"""

from __future__ import annotations

import enum
import importlib
import sys
import types
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tests.models.zoo import randomised

_SMALL = (
    "test_ atto femto pico nano xxs xx_small xsmall xs tiny mini 050 s0 b0 small 18 _s 26".split()
)


CHOSEN = dict(
    pair.split("=")
    for pair in """
    beit=beit_base_patch16_224 byoanet=eca_botnext26ts_256 byobnet=test_byobnet
    cait=cait_xxs24_224 coat=coat_tiny convit=convit_tiny convmixer=convmixer_768_32
    convnext=test_convnext cpubone=cpubone_nano crossvit=crossvit_tiny_240 csatv2=csatv2
    cspnet=cs3darknet_focus_s cspnext=cspnext_tiny davit=davit_tiny
    deepseek_vit=deepseek_vit_412m deit=deit_tiny_patch16_224 densenet=densenet121 dla=dla34
    dpn=dpn48b edgenext=edgenext_xx_small efficientformer=efficientformer_l1
    efficientformer_v2=efficientformerv2_s0 efficientnet=test_efficientnet
    efficientvim=efficientvim_m1 efficientvit_mit=efficientvit_b0
    efficientvit_msra=efficientvit_m0 eva=vit_tiny_patch16_dinov3_qkvb fasternet=fasternet_t0
    fastvit=fastvit_t8 focalnet=focalnet_tiny_srf gcvit=gcvit_xxtiny gemma4_vit=gemma4_vit_167m
    ghostnet=ghostnet_050 hardcorenas=hardcorenas_b hgnet=hgnetv2_b0 hiera=hiera_tiny_224
    hieradet_sam2=sam2_hiera_tiny hrnet=hrnet_w18_small iformer=iformer_t
    inception_next=inception_next_atto inception_resnet_v2=inception_resnet_v2
    inception_v3=inception_v3 inception_v4=inception_v4 lcnetv2=lcnetv2_small levit=levit_128
    lowformer=lowformer_b0 mambaout=test_mambaout maxxvit=test_coatnet metaformer=poolformer_s12
    mlp_mixer=gmixer_12_224 mobilenetv3=mobilenetv3_small_050 mobilenetv5=mobilenetv5_base
    mobilevit=mobilevit_xxs mvitv2=mvitv2_tiny naflexvit=naflexvit_base_patch16_gap
    nasnet=nasnetalarge nest=nest_tiny nextvit=nextvit_small nfnet=test_nfnet pit=pit_ti_224
    pnasnet=pnasnet5large pvt_v2=pvt_v2_b0 qwen3_vit=qwen3_vit_88m rdnet=rdnet_tiny
    regnet=regnetx_002 repghost=repghostnet_050 repvit=repvit_m1 res2net=res2next50
    resnest=resnest14d resnet=test_resnet resnetv2=resnetv2_18 rexnet=rexnet_100
    selecsls=selecsls42 senet=legacy_seresnet18 sequencer=sequencer2d_s shvit=shvit_s1
    sknet=skresnet18 starnet=starnet_s050 swiftformer=swiftformer_xs
    swin_transformer=swin_tiny_patch4_window7_224 swin_transformer_v2=swinv2_tiny_window8_256
    swin_transformer_v2_cr=swinv2_cr_tiny_224 tiny_vit=tiny_vit_5m_224
    tnt=tnt_s_legacy_patch16_224 tresnet=tresnet_m twins=twins_svt_small vgg=vgg11
    visformer=visformer_tiny vision_transformer=test_vit
    vision_transformer_hybrid=vit_tiny_r_s16_p8_224 vision_transformer_relpos=test_vit_relpos
    vision_transformer_sam=samvit_base_patch16_224 vitamin=vitamin_small_224 volo=volo_d1_224
    vovnet=ese_vovnet19b_slim_dw xception=legacy_xception xception_aligned=xception41p
    xcit=xcit_nano_12_p8_224
    """.split()
)
"""Family -> the smallest of its models; a family that is not here is chosen from when met."""


_TWO_LAYERS = "beit deepseek_vit gemma4_vit naflexvit qwen3_vit vision_transformer_sam".split()
SMALLER: dict[str, dict[str, Any]] = {
    **{family: {"depth": 2} for family in _TWO_LAYERS},
    "hieradet_sam2": {"stages": (1, 1, 1, 1)},
    "vgg": {"mlp_ratio": 1 / 32},
}
"""Family -> arguments that make even its smallest model smaller."""
CALIBRATED = ("fastvit", "nextvit")
"""Families whose BatchNorms need the statistics of what they see, or the outputs overflow."""
SIDE = {
    "DeepseekVitClassifier": 98,
    "Gemma4VitClassifier": 96,
    "HieraDet": 256,
    "MobileNetV5": 128,
    "NaFlexVit": 96,
    "NASNetALarge": 139,
    "PNASNet5Large": 139,
    "Qwen3VitClassifier": 96,
}
"""Class -> side of its image, where any will do and its own costs much."""


class _Interpolation(enum.Enum):
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"
    NEAREST_EXACT = "nearest-exact"


class _Stub(types.ModuleType):
    __path__ = ()
    InterpolationMode = _Interpolation

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


_STUBBED = "transforms transforms.functional transforms.transforms datasets ops ops.misc models"


def _torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        for name in ("", *_STUBBED.split(), "models.feature_extraction"):
            full = f"torchvision.{name}".rstrip(".")
            sys.modules[full] = _Stub(full)
            parent, _, last = full.rpartition(".")
            if parent:
                setattr(sys.modules[parent], last, sys.modules[full])


@cache
def families() -> dict[str, str]:
    """Family -> the name of one of its smallest models; empty without timm."""
    try:
        _torchvision()
        import timm
    except ImportError:
        return {}
    found: dict[str, list[str]] = {}
    for name in timm.list_models():
        module = timm.models.model_entrypoint(name).__module__
        found.setdefault(module.rpartition(".")[2], []).append(name)
    known = {f: CHOSEN[f] for f, names in found.items() if CHOSEN.get(f) in names}
    return {f: known.get(f) or _smallest(names) for f, names in sorted(found.items())}


def _smallest(names: list[str]) -> str:
    """Of the most modestly named, the one with the fewest parameters, counted without memory."""
    import timm

    counts: dict[str, int] = {}
    for name in sorted(names, key=_size)[:6]:
        with torch.device("meta"):
            try:
                model = timm.create_model(name, pretrained=False)
            except (RuntimeError, NotImplementedError, ValueError):  # computes while it is built
                continue
        counts[name] = sum(p.numel() for p in model.parameters())
    return min(counts, key=counts.__getitem__, default=min(names, key=_size))


def _size(name: str) -> tuple[int, int, str]:
    rank = next((i for i, word in enumerate(_SMALL) if word in name), len(_SMALL))
    return rank, len(name), name


def build(family: str, task: str) -> nn.Module:
    """A random model of the family with three classes."""
    name = families()[family]  # makes timm importable
    import timm

    torch.manual_seed(0)
    smaller = SMALLER.get(family, {})
    model = randomised(timm.create_model(name, pretrained=False, num_classes=3, **smaller))
    with torch.no_grad():
        if family in CALIBRATED:  # many branches are summed: only batch statistics tame them
            model.train()(example(model).expand(2, -1, -1, -1))
    return model.eval()


def example(model: nn.Module) -> Tensor:
    """One image, of the model's own size unless a smaller one will do."""
    config: Any = model.pretrained_cfg
    shape = config.get("test_input_size") or config["input_size"]
    side = SIDE.get(type(model).__name__)
    shape = shape if side is None else (shape[0], side, side)
    return torch.randn((1, *shape), generator=torch.Generator().manual_seed(1))
