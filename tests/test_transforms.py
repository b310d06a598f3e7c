"""Transforms: what each does to an image, and that a batch comes out as its images one by one, bit for bit."""

import math

import numpy
import pytest
from PIL import Image, ImageEnhance

import minidl
from minidl.backend import Generator
from minidl.data import ArrayDataset, DataLoader, Draws, transforms
from minidl.data.randomness import drawing_from, sample_keys
from minidl.data.transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Cutout,
    Lambda,
    Lighting,
    Normalize,
    Pad,
    RandomCrop,
    RandomErasing,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    TenCrop,
    ToTensor,
)
from minidl.data.transforms.resize import resample

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def batch(count=9, height=11, width=13, channels=3, seed=0):
    numbers = numpy.random.default_rng(seed)
    return numbers.integers(256, size=(count, channels, height, width), dtype=numpy.uint8)


def floats(*args, **options):
    return ToTensor().apply(batch(*args, **options))


def numbered(height=6, width=8):
    """One image whose pixel at (y, x) is 10 y + x."""
    return minidl.Tensor((10 * numpy.arange(height)[:, None] + numpy.arange(width)).astype(numpy.uint8)[None])


EVERY = {
    "Pad": Pad((1, 2), fill=7),
    "Pad reflect": Pad(2, padding_mode="reflect"),
    "CenterCrop": CenterCrop((6, 7)),
    "CenterCrop larger": CenterCrop(15),
    "RandomCrop": RandomCrop(8, padding=3),
    "RandomCrop edge": RandomCrop((12, 20), padding=1, pad_if_needed=True, padding_mode="edge"),
    "TenCrop": TenCrop(6),
    "RandomHorizontalFlip": RandomHorizontalFlip(),
    "RandomVerticalFlip": RandomVerticalFlip(),
    "Resize": Resize(7),
    "Resize bicubic": Resize((20, 9), "bicubic"),
    "RandomResizedCrop": RandomResizedCrop(8),
    "ColorJitter": ColorJitter(0.4, 0.4, 0.4, 0.2),
    "Lambda": Lambda(lambda image: RandomCrop(5)(image)),
    "ToTensor": ToTensor(),
    "Cutout": Cutout(5),
    "RandomErasing": RandomErasing(value=(1, 2, 3)),
    "Compose": Compose([RandomCrop(9), RandomHorizontalFlip(), lambda x: x, Cutout(3), RandomCrop(8)]),
}
ON_FLOATS = {
    "Normalize": Normalize(MEAN, STD),
    "Lighting": Lighting(),
    "the whole": Compose(
        [RandomResizedCrop(8), ColorJitter(0.4, 0.4, 0.4, 0.2), Lighting(), Normalize(MEAN, STD), Cutout(3)]
    ),
    "ten crops": Compose([TenCrop(8), Normalize(MEAN, STD)]),
}


@pytest.mark.parametrize(
    ("transform", "images"),
    [pytest.param(t, batch(), id=name) for name, t in EVERY.items()]
    + [pytest.param(t, floats(), id=f"{name}, floats") for name, t in (EVERY | ON_FLOATS).items()],
)
def test_a_batch_is_its_images_bit_for_bit(transform, images):
    keys = sample_keys(0, 3, range(len(images)))
    before = images.copy()
    with drawing_from(Draws(keys)):
        together = transform(minidl.Tensor(images)).numpy()
    for row in range(len(images)):
        with drawing_from(Draws(keys[row : row + 1])):
            alone = transform(minidl.Tensor(images[row])).numpy()
        assert alone.tobytes() == together[row].tobytes()
        assert (alone.dtype, alone.shape) == (together.dtype, together.shape[1:])
    assert together.dtype == (images.dtype if not isinstance(transform, ToTensor) else numpy.float32)
    assert numpy.array_equal(images, before)  # never changed


@pytest.mark.parametrize("name", ["RandomCrop", "RandomResizedCrop", "ColorJitter", "Cutout", "RandomErasing"])
def test_random_transforms_treat_each_image_differently(name):
    images = numpy.repeat(batch(1), 30, axis=0)
    results = EVERY[name].apply(images, Draws(sample_keys(0, 0, range(30))))
    assert len({result.tobytes() for result in results}) > 12


# ------------------------------------------------------------------------------------------------- to floats


def test_to_tensor():
    image = ToTensor()(minidl.Tensor(numpy.array([[[0, 51, 255]]], numpy.uint8)))
    assert (image.dtype, image.tolist()) == (minidl.float32, [[[0, numpy.float32(0.2), 1]]])
    rows = batch(1)[0].transpose(1, 2, 0)  # (H, W, C)
    expected = (rows.transpose(2, 0, 1) / numpy.float32(255)).tolist()
    assert ToTensor()(rows).tolist() == ToTensor()(Image.fromarray(rows)).tolist() == expected
    assert Compose([ToTensor()])(rows).tolist() == expected
    assert ToTensor()(rows[:, :, 0]).shape == (1, 11, 13)
    assert ToTensor()(Image.fromarray(rows[:, :, 0])).shape == (1, 11, 13)
    assert ToTensor()(Image.new("RGBA", (4, 3))).shape == (3, 3, 4)
    assert ToTensor()(Image.new("P", (4, 3))).shape == (3, 3, 4)
    assert ToTensor()(Image.new("1", (4, 3), 1)).tolist() == [[[1.0] * 4] * 3]
    half = minidl.tensor([[[0.5, 2.0]]])
    assert ToTensor()(half).tolist() == half.tolist()


def test_normalize():
    x = floats()
    y = Normalize(MEAN, STD)(minidl.Tensor(x)).numpy()
    numpy.testing.assert_allclose(y[:, 1], (x[:, 1] - 0.5) / 0.25, rtol=1e-6)
    one = Normalize(0.5, 2.0)(minidl.Tensor(x)).numpy()
    numpy.testing.assert_allclose(one, (x - 0.5) / 2, rtol=1e-6)
    with pytest.raises(TypeError, match=r"images of floats\n.*\n  help: put ToTensor\(\) before it"):
        Normalize(MEAN, STD)(minidl.Tensor(batch()))
    with pytest.raises(ValueError, match="those of 3 channels, the images have 1"):
        Normalize(MEAN, STD)(minidl.Tensor(floats(channels=1)))
    for mean, std in ((MEAN, (1, 1)), (0, 0), (0, -1)):
        with pytest.raises(ValueError, match="one mean and one std above 0"):
            Normalize(mean, std)


# ----------------------------------------------------------------------------------------------------- geometry


def test_pad():
    assert Pad(1)(minidl.tensor([[[5]]])).tolist() == [[[0, 0, 0], [0, 5, 0], [0, 0, 0]]]
    assert Pad((1, 0), fill=9)(minidl.tensor([[[5]]])).tolist() == [[[9, 5, 9]]]
    assert Pad((0, 1, 2, 0))(minidl.tensor([[[5]]])).tolist() == [[[0, 0, 0], [5, 0, 0]]]
    assert Pad((2, 0), padding_mode="reflect")(minidl.tensor([[[1, 2, 3]]])).tolist() == [[[3, 2, 1, 2, 3, 2, 1]]]
    assert Pad((2, 0), padding_mode="symmetric")(minidl.tensor([[[1, 2]]])).tolist() == [[[2, 1, 1, 2, 2, 1]]]
    assert Pad((1, 0), padding_mode="edge")(minidl.tensor([[[1, 2]]])).tolist() == [[[1, 1, 2, 2]]]
    coloured = Pad((1, 0), fill=(1, 2, 3))(minidl.Tensor(numpy.zeros((3, 1, 1), numpy.uint8)))
    assert coloured.tolist() == [[[1, 0, 1]], [[2, 0, 2]], [[3, 0, 3]]]
    for padding in (-1, (1, 2, 3), 1.5):
        with pytest.raises((ValueError, TypeError)):
            Pad(padding)
    with pytest.raises(ValueError, match="padding_mode must be one of constant, edge"):
        Pad(1, padding_mode="wrap")


def test_center_crop():
    assert CenterCrop(2)(numbered()).tolist() == [[[23, 24], [33, 34]]]
    assert CenterCrop((2, 3))(numbered(7, 8)).tolist() == [[[22, 23, 24], [32, 33, 34]]]  # 2.5 rounds to 2, to even
    assert CenterCrop(4)(minidl.tensor([[[1, 2, 3]]])).tolist() == [[[0] * 4, [1, 2, 3, 0], [0] * 4, [0] * 4]]


def test_random_crop_reaches_every_place_equally():
    images = numpy.repeat(numbered(4, 5).numpy()[None], 6000, axis=0)
    pieces = RandomCrop((3, 3)).apply(images, Draws(sample_keys(0, 0, range(6000))))
    corners, counts = numpy.unique(pieces[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [0, 1, 2, 10, 11, 12]
    assert counts.min() > 850
    for piece in pieces[:20, 0]:
        assert (piece - piece[0, 0]).tolist() == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


def test_random_crop_pads_first():
    images = numpy.full((400, 1, 2, 2), 5, numpy.uint8)
    pieces = RandomCrop(2, padding=1, fill=9).apply(images, Draws(sample_keys(0, 0, range(400))))
    seen = {tuple(piece.ravel().tolist()) for piece in pieces}
    assert len(seen) == 9
    assert (5, 5, 5, 5) in seen
    assert (9, 9, 9, 5) in seen
    assert RandomCrop(5, pad_if_needed=True).apply(images[:3], Draws(None, 3)).shape == (3, 1, 5, 5)
    with pytest.raises(ValueError, match=r"crop size \(5, 5\) is larger than the image \(4, 4\)"):
        RandomCrop(5, padding=1)(minidl.Tensor(images))
    for size in (0, (1, 2, 3), 2.5, (3, "4")):
        with pytest.raises((ValueError, TypeError)):
            RandomCrop(size)


def test_flips():
    image = numbered(2, 3)
    assert RandomHorizontalFlip(1)(image).tolist() == [[[2, 1, 0], [12, 11, 10]]]
    assert RandomVerticalFlip(1)(image).tolist() == [[[10, 11, 12], [0, 1, 2]]]
    assert RandomHorizontalFlip(0)(image).tolist() == RandomVerticalFlip(0)(image).tolist() == image.tolist()
    many = numpy.repeat(image.numpy()[None], 4000, axis=0)
    for flip in (RandomHorizontalFlip, RandomVerticalFlip):
        flipped = flip(0.25).apply(many, Draws(sample_keys(0, 0, range(4000))))
        assert (flipped != many).any(axis=(1, 2, 3)).mean() == pytest.approx(0.25, abs=0.03)
        with pytest.raises(ValueError, match="p must lie between 0 and 1"):
            flip(1.5)


def test_ten_crop():
    crops = TenCrop((2, 3))(numbered(5, 6))
    assert crops.shape == (10, 1, 2, 3)
    assert crops[:5, 0, 0, 0].tolist() == [0, 3, 30, 33, 22]
    mirrored = TenCrop((2, 3))(minidl.Tensor(numbered(5, 6).numpy()[..., ::-1].copy()))
    assert crops[5:].tolist() == mirrored[:5].tolist()
    upside_down = TenCrop(2, vertical_flip=True)(numbered(5, 6))
    assert upside_down[5, 0].tolist() == [[40, 41], [30, 31]]
    with pytest.raises(ValueError, match="larger than the image"):
        TenCrop(6)(numbered(5, 6))
    data = ArrayDataset(batch(), numpy.arange(9), Compose([TenCrop(8), ToTensor(), Normalize(MEAN, STD)]))
    assert next(iter(DataLoader(data, 4)))[0].shape == (4, 10, 3, 8, 8)


def test_resize():
    image = minidl.Tensor(batch(1, 40, 60)[0])
    assert Resize(20)(image).shape == (3, 20, 30)
    assert Resize(20, max_size=25)(image).shape == (3, 16, 25)
    assert Resize((10, 11))(image).shape == (3, 10, 11)
    theirs = Image.fromarray(image.numpy().transpose(1, 2, 0)).resize((30, 20), Image.Resampling.BILINEAR)
    assert numpy.array_equal(Resize(20)(image).numpy(), numpy.asarray(theirs).transpose(2, 0, 1))
    assert numpy.array_equal(Resize((40, 60))(image).numpy(), image.numpy())
    constant = Resize(7)(minidl.Tensor(numpy.full((2, 9, 9), 0.3, numpy.float32)))
    numpy.testing.assert_allclose(constant.numpy(), 0.3, rtol=1e-6)
    with pytest.raises(ValueError, match="interpolation must be one of nearest, bilinear"):
        Resize(3, "cubic")
    with pytest.raises(ValueError, match="max_size"):
        Resize(30, max_size=20)


def test_resize_of_floats_is_that_of_bytes():
    image = batch(1, 30, 20)[0]
    exact = resample(image.astype(numpy.float32), (11, 17), "bilinear")
    numpy.testing.assert_allclose(resample(image, (11, 17), "bilinear"), exact, atol=1.01)
    assert resample(image[:1], (11, 17), "nearest").shape == (1, 11, 17)


def test_random_resized_crop_draws_areas_and_proportions():
    crop = RandomResizedCrop(8, scale=(0.2, 0.5), ratio=(0.5, 2.0))
    numbers = numpy.random.default_rng(0)
    shapes = []
    for _ in range(2000):
        y, x, height, width = crop._box(100, 120, numbers.uniform(size=(10, 2)).tolist(), *numbers.uniform(size=2))
        assert 0 <= y <= y + height <= 100
        assert 0 <= x <= x + width <= 120
        shapes.append((height, width))
    heights, widths = numpy.array(shapes).T
    share, ratio = heights * widths / 12000, widths / heights
    assert (share.min() > 0.19, share.max() < 0.51, ratio.min() > 0.48, ratio.max() < 2.05) == (True,) * 4
    assert share.mean() == pytest.approx(0.35, abs=0.02)
    assert numpy.log(ratio).mean() == pytest.approx(0, abs=0.06)
    never = [(1.0, 0.5)] * 10  # the whole area, square: does not fit into a strip
    assert RandomResizedCrop(8)._box(10, 100, never, 0.9, 0.9) == (0, 43, 10, 13)
    assert RandomResizedCrop(8)._box(100, 10, never, 0.9, 0.9) == (43, 0, 13, 10)


def test_random_resized_crop_of_the_whole_is_a_resize():
    image = batch(1, 16, 16)[0]
    whole = RandomResizedCrop((5, 7), scale=(1, 1), ratio=(1, 1))(minidl.Tensor(image))
    assert numpy.array_equal(whole.numpy(), Resize((5, 7))(minidl.Tensor(image)).numpy())
    for scale in ((0.5, 0.1), (0, 1), (1,)):
        with pytest.raises(ValueError, match="scale must be two numbers above 0"):
            RandomResizedCrop(8, scale=scale)


# ------------------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize(
    ("setting", "enhance", "factor"),
    [
        ("brightness", ImageEnhance.Brightness, 0.6),
        ("brightness", ImageEnhance.Brightness, 1.7),
        ("contrast", ImageEnhance.Contrast, 0.5),
        ("contrast", ImageEnhance.Contrast, 1.5),
        ("saturation", ImageEnhance.Color, 0.3),
        ("saturation", ImageEnhance.Color, 1.4),
    ],
)
def test_color_jitter_agrees_with_pillow(setting, enhance, factor):
    image = batch(1, 20, 20)[0]
    ours = ColorJitter(**{setting: (factor, factor)})(minidl.Tensor(image)).numpy()
    theirs = numpy.asarray(enhance(Image.fromarray(image.transpose(1, 2, 0))).enhance(factor)).transpose(2, 0, 1)
    assert abs(ours.astype(int) - theirs.astype(int)).max() <= 1  # Pillow rounds gray to bytes in between


def test_hue():
    def turned(colour, share):
        image = minidl.Tensor(numpy.array(colour, numpy.float32).reshape(3, 1, 1))
        return ColorJitter(hue=(share, share))(image).numpy().ravel().tolist()

    assert turned([1, 0, 0], 1 / 3) == pytest.approx([0, 1, 0], abs=1e-6)
    assert turned([1, 0, 0], -1 / 3) == pytest.approx([0, 0, 1], abs=1e-6)
    assert turned([0.8, 0.2, 0.2], 0.5) == pytest.approx([0.2, 0.8, 0.8], abs=1e-6)
    assert turned([0.3, 0.3, 0.3], 0.25) == pytest.approx([0.3, 0.3, 0.3])
    assert turned([0.9, 0.5, 0.1], 1 / 6) == pytest.approx([0.5, 0.9, 0.1], abs=1e-6)


def test_color_jitter_settings():
    image = minidl.Tensor(batch(1)[0])
    assert numpy.array_equal(ColorJitter()(image).numpy(), image.numpy())
    assert ColorJitter(brightness=2).brightness == (0, 3)
    gray = minidl.Tensor(batch(1, channels=1)[0])
    assert ColorJitter(0, 0, 0.5, 0.2)(gray).tolist() == gray.tolist()
    for options in ({"hue": 0.6}, {"brightness": -1}, {"contrast": (2, 1)}, {"saturation": float("inf")}):
        with pytest.raises(ValueError, match=r"must be a number between 0 and"):
            ColorJitter(**options)


def test_lighting_is_the_formula():
    images = floats(5)
    keys = sample_keys(0, 0, range(5))
    result = Lighting(0.1).apply(images, Draws(keys))
    draws = Draws(keys)
    alphas = numpy.stack([draws.normal(0.1) for _ in range(3)], axis=1)  # (N, 3)
    shift = alphas * Lighting.EIGVAL @ numpy.array(Lighting.EIGVEC).T  # (N, 3)
    numpy.testing.assert_allclose(result - images, numpy.broadcast_to(shift[:, :, None, None], images.shape), atol=1e-6)
    with pytest.raises(TypeError, match="images of floats"):
        Lighting()(minidl.Tensor(batch()))
    with pytest.raises(ValueError, match="three channels"):
        Lighting()(minidl.Tensor(floats(channels=1)))


# ------------------------------------------------------------------------------------------------------- erasing


def test_cutout_covers_every_pixel_and_may_stick_out():
    images = numpy.ones((4000, 2, 8, 8), numpy.float32)
    holes = Cutout(4).apply(images, Draws(sample_keys(0, 0, range(4000)))) == 0
    assert (holes[:, 0] == holes[:, 1]).all()
    areas = holes[:, 0].sum(axis=(1, 2))
    assert (areas.min(), areas.max()) == (4, 16)  # a centre in the corner leaves 2x2 of the 4x4
    share = holes[:, 0].mean(axis=0)
    assert share[4, 4] == pytest.approx(16 / 64, abs=0.03)
    assert share[0, 0] == pytest.approx(9 / 64, abs=0.03)  # centres 0, 1, 2 of 8 in both directions
    for length in (0, 2.5):
        with pytest.raises(ValueError, match="length must be an int of at least 1"):
            Cutout(length)


def test_random_erasing():
    images = numpy.ones((3000, 3, 20, 30), numpy.float32)
    erased = RandomErasing(0.4, scale=(0.1, 0.2), ratio=(0.5, 2), value=(5, 6, 7)).apply(
        images, Draws(sample_keys(0, 0, range(3000)))
    )
    hit = (erased != 1).any(axis=(1, 2, 3))
    assert hit.mean() == pytest.approx(0.4, abs=0.03)
    hole = erased[hit][:, 0] == 5
    shares = hole.mean(axis=(1, 2))
    assert (shares.min() > 0.08, shares.max() < 0.22) == (True, True)
    for one in hole[:50]:  # a rectangle, with its value in each channel
        rows, columns = numpy.flatnonzero(one.any(axis=1)), numpy.flatnonzero(one.any(axis=0))
        assert one.sum() == len(rows) * len(columns) == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    assert {tuple(pixel) for pixel in erased[:100].transpose(0, 2, 3, 1).reshape(-1, 3).tolist()} == {
        (1, 1, 1),
        (5, 6, 7),
    }
    with pytest.raises(ValueError, match="value must be a number"):
        RandomErasing(value="random")


# ------------------------------------------------------------------------------------------------- putting together


def test_compose_with_functions():
    seen = []

    def invert(image):
        seen.append(image.shape)
        return minidl.Tensor(255 - image.numpy())

    flip = Compose([invert, ToTensor()])
    images = batch(3)
    numpy.testing.assert_array_equal(flip(minidl.Tensor(images)).numpy(), (255 - images) / numpy.float32(255))
    assert seen == [(3, 11, 13)] * 3
    with pytest.raises(TypeError, match="every transform must be callable"):
        Compose([ToTensor(), 5])
    with pytest.raises(TypeError, match="must return a Tensor"):
        Compose([lambda image: "nothing"])(minidl.Tensor(images))
    with pytest.raises(ValueError, match="came back in different shapes"):
        shapes = iter([3, 4, 5])
        Lambda(lambda image: image[:, : next(shapes)])(minidl.Tensor(images))
    with pytest.raises(TypeError, match="takes a function"):
        Lambda(3)


def test_repr():
    assert repr(Compose([RandomCrop(32, padding=4), ToTensor()])).splitlines() == [
        "Compose(",
        "    RandomCrop(size=(32, 32), padding=(4, 4, 4, 4), pad_if_needed=False, fill=0, padding_mode='constant')",
        "    ToTensor()",
        ")",
    ]


def test_transforms_refuse_what_is_no_image():
    with pytest.raises(TypeError, match=r"takes a Tensor .*\n.*\n  help: ToTensor\(\) turns an array"):
        RandomCrop(2)(batch())
    with pytest.raises(TypeError, match="takes a Tensor"):
        RandomCrop(2)("cat.png")
    with pytest.raises(ValueError, match=r"an image is \(C, H, W\)"):
        RandomCrop(2)(minidl.tensor([1.0]))
    with pytest.raises(ValueError, match="an array must be"):
        ToTensor()(numpy.zeros(3))
    with pytest.raises(NotImplementedError, match="apply is not defined"):
        transforms.Transform()(numbered())


def test_a_transform_of_ones_own():
    class Noise(transforms.Transform):
        def apply(self, images, draws):
            return images + draws.normal(0.1).astype(numpy.float32)[:, None, None, None]

    data = ArrayDataset(batch(), numpy.arange(9), Compose([ToTensor(), Noise()]))
    results = [
        [x.numpy().tobytes() for x, _ in DataLoader(data, 4, num_workers=count, generator=Generator(0))]
        for count in (0, 2)
    ]
    assert results[0] == results[1]


def test_array_dataset():
    data = ArrayDataset(batch(), range(9), classes="abcdefghi")
    image, label = data[4]
    assert (image.dtype, image.shape, label) == (minidl.float32, (3, 11, 13), 4)
    numpy.testing.assert_array_equal(image.numpy(), data.data[4] / numpy.float32(255))
    inverted = data.with_transform(lambda image: 255 - image.numpy())
    assert inverted[4][0].tolist() == (255 - data.data[4]).tolist()
    assert inverted.data is data.data
    assert data.transform is None
    x, y = data.batch([3, 1])
    assert (x.shape, y.tolist()) == ((2, 3, 11, 13), [3, 1])
    doubled = ArrayDataset(batch(), range(9), target_transform=lambda label: 2 * label)
    assert (doubled[3][1], doubled.batch([3, 1])[1].tolist()) == (6, [6, 2])
    own = ArrayDataset(floats(), range(9))
    own[0][0].data[:] = 7
    own.batch([0])[0].data[:] = 7
    assert own.data.max() <= 1
    assert repr(data) == "ArrayDataset(9 images, 3x11x13, 9 classes)"
    with pytest.raises(TypeError, match="images are uint8, or float32"):
        ArrayDataset(batch().astype(float), range(9))
    with pytest.raises(TypeError, match="labels are ints"):
        ArrayDataset(batch(), numpy.zeros(9))
    for images, labels in ((batch()[0], range(3)), (batch(), range(8))):
        with pytest.raises(ValueError, match=r"images are \(N, C, H, W\)"):
            ArrayDataset(images, labels)


def test_the_sizes_that_the_lecture_needs():
    """LeNet-5 takes MNIST's 28x28 in a frame of 32x32; AlexNet is tested on ten crops of 224 from 256."""
    assert Pad(2)(minidl.Tensor(batch(2, 28, 28, 1))).shape == (2, 1, 32, 32)
    image = minidl.Tensor(batch(1, 300, 400)[0])
    assert Compose([Resize(256), TenCrop(224)])(image).shape == (10, 3, 224, 224)
    assert math.isclose(Resize(256)(image).shape[2], 341)
