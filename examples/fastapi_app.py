"""Add dishes to your own FastAPI application: uvicorn --app-dir examples fastapi_app:app

``platecheck serve`` is the full service, with limits, metrics and authentication. To add one route
to an application that already has these, load the model once and call it from there.
"""

from typing import Annotated

from fastapi import FastAPI, File, HTTPException

from platecheck import Classifier, PhotoError

app = FastAPI()
classifier = Classifier.load()


@app.post("/dish")
def dish(photo: Annotated[bytes, File()]) -> dict[str, object]:
    """Classify one dish."""
    # Not async: FastAPI runs the function on a thread, and the model releases the GIL.
    try:
        prediction = classifier.predict(photo)
    except PhotoError as error:
        raise HTTPException(422, error.reason) from error
    return {"label": prediction.label, "probability": prediction.probability}
