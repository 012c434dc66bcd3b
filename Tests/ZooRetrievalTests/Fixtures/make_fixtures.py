"""Writes rankers.json: scores of transferability rankers on random inputs, in float64 NumPy, from the papers' formulas.

    python make_fixtures.py          # beside this file
"""
import json, os
import numpy as np
from scipy.optimize import linear_sum_assignment

def logme(F, y, eps=1e-5, steps=100, tol=1e-3):
    N, D = F.shape
    out = []
    for c in np.unique(y):
        t = (y == c).astype(float)
        a = b = 1.0
        G = F.T @ F
        for _ in range(steps):
            A = a * np.eye(D) + b * G
            m = b * np.linalg.solve(A, F.T @ t)
            lam = np.linalg.eigvalsh(b * G)
            lam[lam < 1e-12 * lam.max()] = 0
            g = (lam / (a + lam)).sum()
            q = a / b
            a = g / (m @ m + eps)
            b = (N - g) / (((F @ m - t) ** 2).sum() + eps)
            if abs(a / b - q) / q <= tol:
                break
        C = np.eye(N) / b + F @ F.T / a
        sign, logdet = np.linalg.slogdet(C)
        out.append((-0.5 * (N * np.log(2 * np.pi) + logdet + t @ np.linalg.solve(C, t))) / N)
    return float(np.mean(out))

def leep(P, y):
    J = np.stack([P[y == c].sum(0) for c in np.unique(y)]) / len(y)
    p = J.sum(0)
    cond = np.divide(J, p, out=np.zeros_like(J), where=p > 0)
    return float(np.log((cond[y] * P).sum(1)).mean())

def nce(P, y):
    z = P.argmax(1)
    J = np.zeros((y.max() + 1, P.shape[1]))
    np.add.at(J, (y, z), 1 / len(y))
    h = 0.0
    for i in range(J.shape[0]):
        for j in range(J.shape[1]):
            if J[i, j] > 0:
                h += J[i, j] * np.log(J[i, j] / J[:, j].sum())
    return float(h)

def between(F, y):
    G = F.copy()
    for c in np.unique(y):
        G[y == c] = F[y == c].mean(0)
    return G.T @ G / (len(F) - 1)

def hscore(F, y):
    F = F - F.mean(0)
    S = F.T @ F / (len(F) - 1)
    return float(np.trace(np.linalg.pinv(S, rcond=1e-10, hermitian=True) @ between(F, y)))

def hscore_reg(F, y):
    F = F - F.mean(0)
    N, D = F.shape
    S1 = F.T @ F / N
    mu = np.trace(S1) / D
    d2 = ((S1 - mu * np.eye(D)) ** 2).sum() / D
    F2 = F ** 2
    b2 = min(d2, ((F2.T @ F2).sum() / N - (S1 ** 2).sum()) / (D * N))
    a = b2 / d2
    return float((1 - a) * np.trace(np.linalg.solve((1 - a) * S1 + a * mu * np.eye(D), between(F, y))))

def transrate(F, y, e=1.0):
    Z = F - F.mean(0)
    def R(A):
        return 0.5 * np.linalg.slogdet(np.eye(A.shape[1]) + A.T @ A / (len(A) * e))[1]
    return float(R(Z) - sum((y == c).mean() * R(Z[y == c]) for c in np.unique(y)))

def gbc(F, y, floor=1e-6):
    X = F - F.mean(0)
    k = min(64, len(F) - 1, F.shape[1])
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    k = min(k, int((s > 1e-10 * s.max()).sum()))
    X = (U * s)[:, :k]
    classes = np.unique(y)
    mu = np.stack([X[y == c].mean(0) for c in classes])
    v = np.stack([np.full(k, X[y == c].var(0).mean()) for c in classes]) + floor
    total = 0.0
    for i in range(len(classes)):
        for j in range(len(classes)):
            if i != j:
                w = (v[i] + v[j]) / 2
                d = ((mu[i] - mu[j]) ** 2 / w).sum() / 8 + 0.5 * (np.log(w) - (np.log(v[i]) + np.log(v[j])) / 2).sum()
                total += np.exp(-d)
    return float(-total)

def sfda(F, y):
    import scipy.linalg
    N, D = F.shape
    classes = np.unique(y)
    def fit(X, lam):
        mu = np.stack([X[y == c].mean(0) for c in classes])
        SW = sum((y == c).mean() * np.cov(X[y == c].T, bias=True).reshape(D, D) for c in classes)
        ST = np.cov(X.T, bias=True).reshape(D, D)
        if lam is None:
            lam = max(np.exp(-5 * np.linalg.eigvalsh(SW).max()), 1e-10)
        shrink = lambda S: (1 - lam) * S + lam * np.trace(S) / D * np.eye(D)
        SW, ST = shrink(SW), shrink(ST)
        _, U = scipy.linalg.eigh(ST - SW, SW)
        W = U @ U.T
        s = X @ W @ mu.T - 0.5 * np.einsum("cd,de,ce->c", mu, W, mu) + np.log([(y == c).mean() for c in classes])
        s = np.exp(s - s.max(1, keepdims=True))
        return s / s.sum(1, keepdims=True), mu, lam
    p, mu, lam = fit(F, None)
    own = p[np.arange(N), y][:, None]
    others = (mu.sum(0) - mu[y]) / (len(classes) - 1)
    q, _, _ = fit(own * F + (1 - own) * others, lam)
    return float(q[np.arange(N), y].mean())

def fewshot(P, y):
    M = np.stack([P[y == c].sum(0) for c in np.unique(y)])
    r, c = linear_sum_assignment(-M)
    return float(M[r, c].sum() / len(y))

rng = np.random.default_rng(7)
cases = []
for N, D, Z, C, dead in [(30, 48, 6, 3, 0), (40, 20, 4, 5, 6), (120, 5, 3, 4, 0), (24, 12, 8, 2, 0)]:
    y = np.sort(rng.permutation(np.arange(N) % C))
    centres = rng.normal(size=(C, D))
    F = np.round(np.maximum(centres[y] + rng.normal(size=(N, D)), -0.5), 3)
    F[:, :dead] = 0
    P = rng.dirichlet(np.full(Z, 0.5), size=N)
    P = 0.5 * P + 0.5 * np.eye(Z)[y % Z]
    P = np.round(P, 6); P /= P.sum(1, keepdims=True)
    cases.append(dict(features=F.tolist(), probabilities=P.tolist(), labels=y.tolist(), scores=dict(
        logme=logme(F, y), leep=leep(P, y), nce=nce(P, y), hscore=hscore(F, y), **{"hscore-reg": hscore_reg(F, y)},
        transrate=transrate(F, y), gbc=gbc(F, y), sfda=sfda(F, y), fewshot=fewshot(P, y))))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rankers.json"), "w") as f:
    json.dump(cases, f)
