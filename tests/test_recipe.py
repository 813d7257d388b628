"""Recipes: hashes from before there were templates stand, and a template is carried along."""

from fewtune import Recipe
from fewtune.data.templates import Template
from fewtune.methods.majority import Majority
from fewtune.methods.zero_shot import ZeroShot


def test_recipes_without_a_template_keep_their_json_and_hash():
    recipe = Recipe(ZeroShot())
    assert recipe.to_json() == {"method": "zero_shot", "backbone": "default", "settings": {"sharpness": 20.0}}
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe(Majority()).hash == "58c485b2498a"


def test_a_template_is_part_of_the_recipe():
    recipe = Recipe(ZeroShot(), template=Template(prefix="query: ", words=(("a", "apples"),)))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert recipe.hash != Recipe(ZeroShot()).hash
