# What one writes without thinking of size: the peer that `images.py` holds ours against.
FROM python:3.13-slim
RUN pip install tensorflow mlflow scikit-learn pandas
