"""Recipes: how a network is trained, as its paper says, in a TOML file each. This package holds them.

    recipe = load_recipe("resnet_cifar")           # or the path of a file of your own
    optimizer = recipe.optimizer_for(model.parameters())

Top level     networks (whose default it is), epochs or iterations, batch_size, validation (training images kept back: a
              number, or a fraction below 1), fit ("pad": images that are too small stand in the middle of a larger one)
[optimizer]   name and arguments of a class of minidl.optim
[schedule]    name and arguments of one of minidl.optim.lr_scheduler, or name = "inv"; by = "step" if its unit is not an
              epoch. A SequentialLR has its parts in [[schedule.schedulers]]
[loss]        auxiliary (weight of auxiliary classifiers), label_smoothing
[network]     arguments of the network's function, such as dropout
[[augment]]   name and arguments of a transform of minidl.data.transforms, in order, for training; [[evaluate]] for
              testing. size = "input" is the network's; a size left out, the image's. ToTensor and Normalize are added
              at the end where they are not listed

A key that is none of these is an error, with the nearest one that is.
"""

from minidl.recipes.recipe import Recipe, RecipeError, default_recipe, load_recipe, recipe_names
