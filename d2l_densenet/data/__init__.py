"""Fashion-MNIST and other images: the official files, the loader, a drawn stand-in."""
