"""IDs: what astronomers type, and which spectrum they mean. No file and no network is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import resolve
from engine.identifiers import (
    FORMS,
    DesiRef,
    FourmostRef,
    IdentifierError,
    PathRef,
    Ref,
    SdssRef,
    SdssVRef,
    from_specobjid,
    specobjid,
)

PLATE = SdssRef(751, 52251, 160)
TARGET = 39632936152072660


def one(text: str) -> Ref:
    (ref,) = resolve(text)
    return ref


@pytest.mark.parametrize(
    "text",
    [
        "751-52251-160",
        "0751-52251-0160",
        "751_52251_160",
        "751 52251 160",
        "751,52251,160",
        "751\t52251\t160",
        "  751-52251-160\n",
        "spec-0751-52251-0160",
        "spec-0751-52251-0160.fits",
        "spSpec-52251-0751-160.fit",
        "sdss:751-52251-160",
        "SDSS 751-52251-160",
    ],
)
def test_plate_mjd_fiber_is_known_in_every_spelling(text):
    assert one(text) == PLATE


@pytest.mark.parametrize(
    ("number", "ref"),
    [
        (4565636362342690816, SdssRef(4055, 55359, 408, "v5_7_0")),  # pydl's example
        (845594848269461504, SdssRef(751, 52251, 160, "26")),
    ],
)
def test_a_specobjid_of_dr8_and_later_gives_plate_night_fibre_and_reduction(number, ref):
    assert one(str(number)) == one(f"specobjid:{number}") == ref
    assert specobjid(ref, ref.run2d) == number


def test_a_specobjid_of_dr7_has_another_layout_and_is_told_by_its_night():
    assert one("211612124516974592") == PLATE
    assert one("dr7:211612124516974592") == PLATE
    assert from_specobjid(211612124516974592) is None


def test_sdss_v_is_told_by_its_long_last_number():
    assert one("15000-59146-4375786564") == SdssVRef(15000, 59146, 4375786564)
    assert one("spec-015000-59146-27021597900000000.fits") == SdssVRef(15000, 59146, 27021597900000000)


def test_a_targetid_is_told_from_a_specobjid_by_what_its_bits_mean():
    ref = one("39627652591521181")
    assert ref == DesiRef(39627652591521181)
    assert (ref.targetid >> 42, ref.brick, ref.targetid & 0x3FFFFF) == (9010, 298864, 3485)


@pytest.mark.parametrize(
    "text",
    [
        f"main-dark-9144-{TARGET}",
        f"desi:main-dark-9144-{TARGET}",
        f"main/dark/9144/{TARGET}",
        f"coadd-main-dark-9144 {TARGET}",
        f"{TARGET} main dark 9144",
        f"{TARGET}, main, dark, 9144",
        f"TARGETID={TARGET} survey main dark 9144".replace("survey ", ""),
    ],
)
def test_a_targetid_takes_survey_program_and_healpix_in_any_order(text):
    assert one(text) == DesiRef(TARGET, "main", "dark", 9144)


def test_a_targetid_may_have_some_of_them_only():
    assert one(f"sv3-bright-{TARGET}") == DesiRef(TARGET, "sv3", "bright")
    assert one(f"sv1 {TARGET}") == DesiRef(TARGET, "sv1")


def test_a_release_goes_in_front():
    assert one("dr16:751-52251-160") == SdssRef(751, 52251, 160, release="dr16")
    assert one(f"edr:{TARGET}") == one(f"EDR desi {TARGET}") == DesiRef(TARGET, release="edr")
    with pytest.raises(IdentifierError, match=r"SDSS has no release dr1 here; there are dr8, .* dr19"):
        resolve("dr1:751-52251-160")


def test_sky_and_secondary_targets_need_the_prefix():
    sky = (1 << 59) | (9010 << 42) | (298864 << 22) | 7
    with pytest.raises(IdentifierError, match="makes no sense"):
        resolve(str(sky))
    assert one(f"desi:{sky}") == DesiRef(sky)


def test_4most_names_and_paths_are_local():
    assert one("4most:QSO_0001.fits") == FourmostRef("QSO_0001")
    assert one("night 1.fits".replace(" ", "_")) == PathRef("night_1.fits")
    assert one("/data/my night/a.fits") == one('"/data/my night/a.fits"') == PathRef("/data/my night/a.fits")
    assert one("file:751-52251-160") == PathRef("751-52251-160")


def test_a_pasted_list_may_mix_everything_and_repeats_count_once():
    text = f"751-52251-160, 4055-55359-408\n\n{TARGET}\tmain\tdark\t9144\r\n751 52251 160 752 52251 3; a/b.fits"
    assert resolve(text) == (
        PLATE,
        SdssRef(4055, 55359, 408),
        DesiRef(TARGET, "main", "dark", 9144),
        SdssRef(752, 52251, 3),
        PathRef("a/b.fits"),
    )


def test_one_bad_id_in_a_list_is_named():
    with pytest.raises(
        IdentifierError, match=r"1 of 3 are no IDs: 'NGC4151' is no ID\. Forms that work: 751-52251-160"
    ):
        resolve("751-52251-160 NGC4151 752-52251-3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no ID was given"),
        ("M31", "'M31' is no ID"),
        ("751-52251", "'751-52251' is no ID"),
        ("1-2-3", "neither plate-mjd-fiber .* nor field-mjd-catalogid"),
        ("751-52251-1001", "fiber 1001 cannot be"),
        ("751-12345-160", "mjd 12345 .* nights are 51000 to 60000"),
        ("15000-51000-4375786564", "SDSS-V has no night 51000"),
        ("845594848269461505", "makes no sense as specObjID .* or TARGETID"),
        ("99999999999999999999999", "makes no sense"),
        ("-845594848269461504", "makes no sense"),
        ("desi:12", "too small for a TARGETID"),
        ("desi:751-52251-160", "is no ID of DESI but of SDSS"),
        ("J123456.78+012345.6", "name by position"),
        ("sdss_id:54321", "give field-mjd-catalogid"),
        ("../secret.fits", "may not go up"),
        ("a/../../b.fits", "may not go up"),
        ("https://example.com/spec-0751-52251-0160.fits", "web addresses are not fetched"),
        ("a\0b.fits", "is no ID"),
    ],
)
def test_a_malformed_id_is_refused_in_words_with_the_forms_that_work(text, said):
    with pytest.raises(IdentifierError, match=said) as refused:
        resolve(text)
    assert all(form in str(refused.value) for form, _ in FORMS)


def test_a_number_that_two_surveys_could_mean_is_refused_with_both_meanings(monkeypatch):
    monkeypatch.setattr("engine.identifiers.grammar.is_targetid", lambda number: True)
    with pytest.raises(
        IdentifierError, match=r"is ambiguous: specObjID \(specobjid:8455\d+\), or DESI \(desi:8"
    ) as told:
        resolve("845594848269461504")
    assert told.value.choices == (SdssRef(751, 52251, 160, "26"), DesiRef(845594848269461504))
    assert [one(choice.name) for choice in told.value.choices] == list(told.value.choices)


def test_no_list_is_too_long_to_be_refused():
    with pytest.raises(IdentifierError, match="at most 1,000,000 are read"):
        resolve("x" * 1_000_001)
    with pytest.raises(IdentifierError, match=r"10,001 IDs; at most 10,000"):
        resolve("\n".join(f"{751 + i // 1000}-52251-{i % 1000 + 1}" for i in range(10_001)))


def test_every_form_that_an_error_shows_works():
    for form, _ in FORMS:
        assert len(resolve(form)) == 1


PIECES = st.lists(
    st.one_of(
        st.sampled_from([*"-_ ,;:/\\\"'\t\n=.", "desi", "sdss", "dr17", "edr", "4most", "file:", "main", "dark", "..",
                         "spec", ".fits", "coadd", "sdss_id", "~", "\x85", "\u2028", "²", "٣"]),
        st.integers(0, 1 << 65).map(str),
        st.sampled_from(["751", "52251", "160", "845594848269461504", str(TARGET), "9144"]),
        st.text(max_size=3),
    ), max_size=12,
).map("".join)  # fmt: skip


@given(st.one_of(st.text(), PIECES))
def test_any_text_gives_refs_or_the_one_error_and_names_lead_back(text):
    try:
        refs = resolve(text)
    except IdentifierError:
        return
    assert refs
    assert len(set(refs)) == len(refs)
    for ref in refs:
        assert isinstance(ref, Ref)
        assert ref.survey
        if isinstance(ref, PathRef):
            assert ".." not in ref.path.replace("\\", "/").split("/")
        assert resolve(ref.name) == (ref,)


@given(st.integers(0, (1 << 64) - 1))
def test_a_specobjid_survives_the_way_to_a_ref_and_back(number):
    ref = from_specobjid(number)
    assert ref is None or specobjid(ref, str(ref.run2d)) == number
