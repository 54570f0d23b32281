"""What the README lays down in ten minutes is laid down, as curl sends it."""

import json
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
PUT = re.compile(r"^put (\S+) '(.*?)'$", re.MULTILINE | re.DOTALL)
CURL = {"Content-Type": "application/json", "Accept": "application/json"}  # of its --json


async def test_the_programme_of_the_readme_is_laid_down_and_quotes(door):
    laid_down = PUT.findall(README.read_text())

    async with door.client() as http:
        for number, (path, body) in enumerate(laid_down):
            headers = CURL | {"Idempotency-Key": f"readme-{number}"}
            answer = await http.put(f"/v1/{path}", content=body, headers=headers)
            assert answer.status_code == 200, (path, answer.text)
            assert set(json.loads(body)) <= set(answer.json()["definition"])
        cart = {"customer_id": "ada", "lines": [{"unit_price_minor": 9_000}]}
        quote = (await http.post("/v1/quotes", json=cart)).json()

    assert len(laid_down) == 7
    assert quote["points"] >= 90
    assert quote["offers"]["nearest"][0]["offer_id"] == "ten"


async def test_a_form_is_told_to_be_json(door):
    async with door.client() as http:
        form = "application/x-www-form-urlencoded"
        headers = {"Idempotency-Key": "1", "Content-Type": form}
        answer = await http.put("/v1/rules/spend", content='{"points": 1}', headers=headers)

    assert answer.status_code == 422
    assert "application/json" in answer.text
