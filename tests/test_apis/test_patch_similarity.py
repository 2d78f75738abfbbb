import numpy as np

from mixmae_mm.apis.patch_similarity import best_match, clear_matches, nearest, unit


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / (
        sum(a * a for a in one) ** 0.5 * sum(b * b for b in other) ** 0.5
    )


def test_features_of_length_one_less_a_center():
    np.testing.assert_allclose(unit(np.array([[3.0, 4], [0, 0]])), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(unit(np.array([[4.0, 4]]), np.array([1.0, 0])), [[0.6, 0.8]])


def test_neighbors_are_those_of_loops():
    numbers = np.random.default_rng(0)
    asked, known = numbers.normal(size=(3, 5)), numbers.normal(size=(7, 5))
    barred = np.zeros((3, 7), bool)
    barred[1, 4] = True
    order, cosines = nearest(unit(asked), unit(known), 4, barred)
    for row in range(3):
        pairs = [(cosine(asked[row], known[i]), i) for i in range(7) if not barred[row, i]]
        expected = sorted(pairs, reverse=True)[:4]
        assert [i for _, i in expected] == order[row].tolist()
        np.testing.assert_allclose([value for value, _ in expected], cosines[row])


def test_fewer_than_k_and_ties_in_order():
    same = unit(np.ones((3, 2)))
    order, cosines = nearest(same[:1], same, 5, np.array([[False, True, False]]))
    assert order.tolist() == [[0, 2, 1]]
    assert np.isneginf(cosines[0, 2])
    np.testing.assert_allclose(cosines[0, :2], 1)


def grids(seed=0):
    numbers = np.random.default_rng(seed)
    return unit(numbers.normal(size=(5, 6, 8))), unit(numbers.normal(size=(4, 7, 8)))


def test_best_match_by_loops():
    first, second = grids()
    for place in ((0, 0), (4, 5), (2, 3)):
        match = best_match(place, first, second)
        cosines = {(i, j): cosine(first[place], second[i, j]) for i in range(4) for j in range(7)}
        assert match.best == max(cosines, key=cosines.get)
        assert abs(match.similarity - max(cosines.values())) < 1e-9
        back = {(i, j): cosine(first[i, j], second[match.best]) for i in range(5) for j in range(6)}
        assert match.mutual == (max(back, key=back.get) == place)


def test_a_patch_of_the_same_image_is_its_own_match():
    first, _ = grids()
    match = best_match((3, 2), first, first)
    assert (match.best, match.mutual) == ((3, 2), True)
    assert abs(match.similarity - 1) < 1e-12


def test_planted_patches_are_the_clearest_matches():
    first, second = grids()
    for place, best in (((0, 1), (3, 6)), ((4, 4), (0, 0))):
        second[best] = first[place]
    found = clear_matches(first, second, 2)
    assert {(match.place, match.best) for match in found} == {((0, 1), (3, 6)), ((4, 4), (0, 0))}
    assert all(match.mutual for match in found)


def test_matches_lie_apart_until_there_is_no_other():
    first, _ = grids()
    places = [match.place for match in clear_matches(first, first, 4)]
    gaps = [np.hypot(a - c, b - d) for i, (a, b) in enumerate(places) for c, d in places[:i]]
    assert min(gaps) >= 6 / 3
    every = clear_matches(first, first, 100)
    assert len({match.place for match in every}) == len(every) == 30


def test_mutual_matches_come_first():
    first, second = grids(1)
    found = clear_matches(first, second, 30)
    whether = [match.mutual for match in found]
    assert whether[0]
    assert not whether[-1]
    taken_first = [best_match(found[0].place, first, second).similarity]
    mutual = [best_match((i, j), first, second) for i in range(5) for j in range(6)]
    assert taken_first[0] == max(match.similarity for match in mutual if match.mutual)
